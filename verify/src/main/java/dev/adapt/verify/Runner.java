package dev.adapt.verify;

import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.Map;
import java.util.function.Function;

/**
 * One form of a model, and the engine that runs it.
 *
 * @param name what the report calls it, for example {@code merged (DJL, CPU)}
 * @param precision FP32 for whatever is as exact or more
 * @param run from inputs by name, integers [batch, sequence], to the logits or token states
 */
public record Runner(String name, OnnxPrecision precision, Function<Map<String, Tensor>, DoubleTensor> run) {
    /** A form in float32 or wider. */
    public Runner(String name, Function<Map<String, Tensor>, DoubleTensor> run) {
        this(name, OnnxPrecision.FP32, run);
    }
}
