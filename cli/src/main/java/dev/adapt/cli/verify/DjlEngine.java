package dev.adapt.cli.verify;

import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlRunner;
import dev.adapt.verify.form.Engine;
import java.util.LinkedHashMap;
import java.util.Map;

/** DJL as the engine of a verification's checkpoints. */
public record DjlEngine(Devices device) implements Engine {
    @Override
    public Loaded load(Model model) {
        DjlRunner runner = DjlRunner.open(model, device);
        String provider = runner.device().equals("CPU") ? "CPU" : "CUDA";
        return new Loaded(
                "DJL, " + provider,
                (inputs, wanted) -> {
                    Map<String, DoubleTensor> wide = new LinkedHashMap<>();
                    runner.outputs(inputs, wanted)
                            .forEach((output, values) -> wide.put(output, DoubleTensor.of(values)));
                    return wide;
                },
                runner::close);
    }
}
