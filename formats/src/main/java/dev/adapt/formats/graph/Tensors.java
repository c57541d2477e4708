package dev.adapt.formats.graph;

import dev.adapt.formats.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.SequencedMap;

/** The tensors of a model by canonical name, as its architecture lists them. */
public record Tensors(SequencedMap<String, Shape> shapes) {
    /** The linear layer of the encoders' pooler. */
    public static final String POOLER = "pooler.dense";

    public Tensors() {
        this(new LinkedHashMap<>());
    }

    public Tensors add(String name, long... dims) {
        shapes.put(name, Shape.of(dims));
        return this;
    }

    public Tensors addAll(SequencedMap<String, Shape> others) {
        shapes.putAll(others);
        return this;
    }

    /** A linear layer without a bias. */
    public Tensors matrix(String module, long out, long in) {
        return add(module + ".weight", out, in);
    }

    /** A linear layer with a bias. */
    public Tensors linear(String module, long out, long in) {
        return matrix(module, out, in).add(module + ".bias", out);
    }

    /** A linear layer with a bias, stored [in, out]. */
    Tensors conv1d(String module, long out, long in) {
        return matrix(module, in, out).add(module + ".bias", out);
    }

    /** A layer normalisation. */
    public Tensors layerNorm(String module, long width) {
        return add(module + ".weight", width).add(module + ".bias", width);
    }
}
