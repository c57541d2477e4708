package dev.adapt.verify.runner;

import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.safetensors.Dtype;

/** The coarsest numbers that a form computes with, or that its weights were rounded to. In order, finest first. */
public enum Precision {
    FLOAT32,
    FLOAT16,
    BFLOAT16,
    /** Weights in 8 bits or less, with a scale for some of them together; products of integers among them. */
    INT8;

    static Precision of(OnnxPrecision graph) {
        return graph == OnnxPrecision.FP16 ? FLOAT16 : FLOAT32;
    }

    /** That of weights stored as {@code dtype}. */
    public static Precision of(Dtype dtype) {
        return switch (dtype) {
            case F16 -> FLOAT16;
            case BF16 -> BFLOAT16;
            case I8, U8, F8_E4M3, F8_E5M2 -> INT8;
            default -> FLOAT32;
        };
    }

    /** The coarser of the two. */
    public Precision or(Precision other) {
        return compareTo(other) >= 0 ? this : other;
    }

    /** What a text calls it. */
    @Override
    public String toString() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }
}
