package dev.adapt.formats.method;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.Map;
import java.util.function.Function;

/**
 * A smaller form of an adapter that makes the same changes, but for rounding. What it leaves out is lost: it cannot be trained
 * on.
 *
 * @param method which reads the smaller form
 * @param parts the parts of a layer in that form, from those it has, both by name
 */
public record Compaction(AdapterMethod method, Function<Function<String, Tensor>, Map<String, FloatTensor>> parts) {}
