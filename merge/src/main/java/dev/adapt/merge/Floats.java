package dev.adapt.merge;

import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.FloatFormat;
import java.lang.foreign.MemorySegment;

/** The dtypes a merge can write, and how they become float32 and back, rounded once to nearest even. */
enum Floats {
    F32(FloatFormat.F32),
    F16(FloatFormat.F16),
    BF16(FloatFormat.BF16);

    private final FloatFormat format;

    Floats(FloatFormat format) {
        this.format = format;
    }

    /** Whether a merge can write tensors of this dtype. */
    static boolean has(Dtype dtype) {
        return dtype == Dtype.F32 || dtype == Dtype.F16 || dtype == Dtype.BF16;
    }

    static Floats of(Dtype dtype) {
        return valueOf(dtype.name());
    }

    int bytes() {
        return format.bytes();
    }

    /** Converts elements from {@code source}, starting at element {@code from}, into the start of {@code into}. */
    void decode(MemorySegment source, long from, float[] into, int count) {
        format.decode(source, from, into, count);
    }

    /** Converts the first {@code count} values to the start of {@code target}. */
    void encode(float[] values, int count, MemorySegment target) {
        format.encode(values, 0, count, target);
    }
}
