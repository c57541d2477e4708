package dev.adapt.merge.kernel;

import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.FloatFormat;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The dtypes a merge can write, and how they become float32 and back, rounded once to nearest even. F64 alone is added to
 * in float64.
 */
public enum Floats {
    F64(FloatFormat.F64, Float.POSITIVE_INFINITY),
    F32(FloatFormat.F32, Float.POSITIVE_INFINITY),
    F16(FloatFormat.F16, 65520),
    BF16(FloatFormat.BF16, 0x1.ffp127f);

    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final FloatFormat format;
    private final float overflow;

    Floats(FloatFormat format, float overflow) {
        this.format = format;
        this.overflow = overflow;
    }

    /** The smallest float32 that rounds to infinity: half a unit in the last place above the largest finite value. */
    float overflow() {
        return overflow;
    }

    /** Whether a float32 is finite once it is rounded; false for NaN. */
    public boolean holds(float value) {
        return Math.abs(value) < overflow;
    }

    /** Whether a merge can write tensors of this dtype. */
    public static boolean has(Dtype dtype) {
        return dtype == Dtype.F64 || dtype == Dtype.F32 || dtype == Dtype.F16 || dtype == Dtype.BF16;
    }

    public static Floats of(Dtype dtype) {
        return valueOf(dtype.name());
    }

    public int bytes() {
        return format.bytes();
    }

    /** Element {@code index}, widened. */
    public double get(MemorySegment source, long index) {
        return this == F64 ? source.get(DOUBLE, index * Double.BYTES) : getFloat(source, index);
    }

    /** Element {@code index} as float32. */
    public float getFloat(MemorySegment source, long index) {
        return switch (this) {
            case F64 -> (float) source.get(DOUBLE, index * Double.BYTES);
            case F32 -> source.get(FLOAT, index * Float.BYTES);
            case F16 -> Float.float16ToFloat(source.get(SHORT, index * Short.BYTES));
            case BF16 -> FloatFormat.fromBfloat16(source.get(SHORT, index * Short.BYTES));
        };
    }

    /** Writes element {@code index}, rounded. */
    public void set(MemorySegment target, long index, double value) {
        if (this == F64) {
            target.set(DOUBLE, index * Double.BYTES, value);
        } else {
            setFloat(target, index, (float) value);
        }
    }

    /** Writes element {@code index}, rounded. */
    void setFloat(MemorySegment target, long index, float value) {
        switch (this) {
            case F64 -> target.set(DOUBLE, index * Double.BYTES, value);
            case F32 -> target.set(FLOAT, index * Float.BYTES, value);
            case F16 -> target.set(SHORT, index * Short.BYTES, Float.floatToFloat16(value));
            case BF16 -> target.set(SHORT, index * Short.BYTES, FloatFormat.toBfloat16(value));
        }
    }

    /**
     * Writes element {@code index} of a weight plus a change to the same element of {@code out}.
     *
     * @param found gets the element if it comes out NaN or infinite
     */
    void add(MemorySegment weight, long index, float change, MemorySegment out, NonFinite found) {
        if (this == F64) {
            double before = weight.get(DOUBLE, index * Double.BYTES);
            double sum = before + change;
            out.set(DOUBLE, index * Double.BYTES, sum);
            if (!Double.isFinite(sum)) {
                found.add(before, change);
            }
        } else {
            float before = getFloat(weight, index);
            float sum = before + change;
            setFloat(out, index, sum);
            if (!holds(sum)) {
                found.add(before, change);
            }
        }
    }

    /** Converts elements from {@code source}, starting at element {@code from}, into the start of {@code into}. */
    public void decode(MemorySegment source, long from, float[] into, int count) {
        format.decode(source, from, into, count);
    }

    /** Converts {@code count} values, from index {@code from} on, to the start of {@code target}. */
    public void encode(float[] values, int from, int count, MemorySegment target) {
        format.encode(values, from, count, target);
    }
}
