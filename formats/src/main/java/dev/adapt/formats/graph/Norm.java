package dev.adapt.formats.graph;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;

/** The normalisation of token states that a decoder uses everywhere. */
public record Norm(Kind kind, double epsilon) {
    public enum Kind {
        RMS,
        /** RMS normalisation that scales by 1 + weight, as Gemma's. */
        RMS_PLUS_ONE,
        LAYER,
        /** Layer normalisation without a bias, as Cohere's. */
        LAYER_WITHOUT_BIAS
    }

    public void addTensors(Tensors tensors, String module, int width) {
        tensors.add(module + ".weight", width);
        if (kind == Kind.LAYER) {
            tensors.add(module + ".bias", width);
        }
    }

    /** Over the last axis, by the weights of {@code module}. */
    public <T> T apply(Layers<T> model, T x, String module, int width) {
        Ops<T> ops = model.ops();
        return switch (kind) {
            case RMS -> model.rmsNorm(x, module, epsilon);
            case RMS_PLUS_ONE -> ops.rmsNorm(x, ops.affine(model.weight(module + ".weight"), 1, 1), epsilon);
            case LAYER -> model.layerNorm(x, module, epsilon);
            case LAYER_WITHOUT_BIAS ->
                ops.layerNorm(x, model.weight(module + ".weight"), filled(ops, width, 0), epsilon);
        };
    }

    /** Over the last axis, without weights. */
    public <T> T plain(Ops<T> ops, T x, int width) {
        return switch (kind) {
            case RMS, RMS_PLUS_ONE -> ops.rmsNorm(x, filled(ops, width, 1), epsilon);
            case LAYER, LAYER_WITHOUT_BIAS -> ops.layerNorm(x, filled(ops, width, 1), filled(ops, width, 0), epsilon);
        };
    }

    private static <T> T filled(Ops<T> ops, int width, float value) {
        float[] values = new float[width];
        Arrays.fill(values, value);
        return ops.constant(new FloatTensor(Shape.of(width), values));
    }
}
