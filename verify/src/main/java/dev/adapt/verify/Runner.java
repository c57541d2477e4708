package dev.adapt.verify;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.Map;
import java.util.function.Function;

/**
 * One form of a model, and the engine that runs it.
 *
 * @param name what the report calls it, for example {@code merged (DJL, CPU)}
 * @param run from inputs by name, integers [batch, sequence], to the logits or token states
 */
public record Runner(String name, Function<Map<String, Tensor>, DoubleTensor> run) {}
