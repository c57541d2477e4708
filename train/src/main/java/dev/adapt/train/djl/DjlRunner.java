package dev.adapt.train.djl;

import ai.djl.ndarray.NDManager;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.device.Devices;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;

/** Runs a model, with or without an adapter beside it, on DJL's PyTorch engine; nothing is dropped or trained. */
public final class DjlRunner implements AutoCloseable {
    private final LoadedModel model;

    private DjlRunner(LoadedModel model) {
        this.model = model;
    }

    /**
     * Puts a model on a device. The model's checkpoint must stay open meanwhile.
     *
     * @throws dev.adapt.formats.UsageException if the device is not there
     */
    public static DjlRunner open(Model model, Devices device) {
        return new DjlRunner(new LoadedModel(model, device.resolve()));
    }

    /** The device it runs on, as DJL names it. */
    public String device() {
        return Devices.name(model.device());
    }

    /** The model's output for inputs by name. */
    public FloatTensor run(Map<String, ? extends Tensor> inputs) {
        try (NDManager step = model.newStep()) {
            return LoadedModel.read(model.forward(step, inputs));
        }
    }

    /**
     * Some of the model's outputs for inputs by name.
     *
     * @param wanted of {@link Model#outputNames}
     */
    public SequencedMap<String, FloatTensor> outputs(Map<String, ? extends Tensor> inputs, Set<String> wanted) {
        SequencedMap<String, FloatTensor> outputs = new LinkedHashMap<>();
        try (NDManager step = model.newStep()) {
            model.outputs(step, inputs, wanted).forEach((name, array) -> outputs.put(name, LoadedModel.read(array)));
        }
        return outputs;
    }

    @Override
    public void close() {
        model.close();
    }
}
