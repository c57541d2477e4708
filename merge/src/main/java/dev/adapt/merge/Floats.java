package dev.adapt.merge;

import dev.adapt.formats.safetensors.Dtype;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** The dtypes a merge can write, and how they become float32 and back, rounded once to nearest even. */
enum Floats {
    F32,
    F16,
    BF16;

    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Whether a merge can write tensors of this dtype. */
    static boolean has(Dtype dtype) {
        return dtype == Dtype.F32 || dtype == Dtype.F16 || dtype == Dtype.BF16;
    }

    static Floats of(Dtype dtype) {
        return valueOf(dtype.name());
    }

    int bytes() {
        return this == F32 ? Float.BYTES : Short.BYTES;
    }

    /** Converts elements from {@code source}, starting at element {@code from}, into the start of {@code into}. */
    void decode(MemorySegment source, long from, float[] into, int count) {
        switch (this) {
            case F32 -> MemorySegment.copy(source, FLOAT, from * Float.BYTES, into, 0, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = Float.float16ToFloat(source.get(SHORT, (from + i) * Short.BYTES));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = Float.intBitsToFloat(source.get(SHORT, (from + i) * Short.BYTES) << 16);
                }
            }
        }
    }

    /** Converts the first {@code count} values to the start of {@code target}. */
    void encode(float[] values, int count, MemorySegment target) {
        switch (this) {
            case F32 -> MemorySegment.copy(values, 0, target, FLOAT, 0, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    target.set(SHORT, 2L * i, Float.floatToFloat16(values[i]));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    target.set(SHORT, 2L * i, toBfloat16(values[i]));
                }
            }
        }
    }

    static short toBfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            // the quiet bit keeps a payload that is lost by the cut from becoming infinity
            return (short) ((bits >>> 16) | 0x40);
        }
        return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
    }
}
