package dev.adapt.verify;

import dev.adapt.formats.graph.ReferenceOps;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A model in float64, as exact as its stored weights allow. It holds every tensor the graph has asked for, widened, so it
 * takes 8 bytes for each parameter.
 */
public final class ReferenceRunner {
    private final Model model;
    private final ReferenceOps ops = new ReferenceOps();
    private final Map<String, DoubleTensor> leaves = new HashMap<>();

    /** The model must stay open as long as this is used. */
    public ReferenceRunner(Model model) {
        this.model = model;
    }

    /** Runs the model on inputs by name. */
    public DoubleTensor run(Map<String, Tensor> inputs) {
        Map<String, DoubleTensor> wide = new LinkedHashMap<>();
        inputs.forEach((name, input) -> wide.put(name, DoubleTensor.of(input)));
        return model.forward(
                ops, name -> leaves.computeIfAbsent(name, leaf -> DoubleTensor.of(model.leaf(leaf))), wide);
    }
}
