package dev.adapt.formats.tensor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The binary floating-point formats that convert to and from float32. Narrowing rounds to nearest, ties to even, once;
 * widening is exact. Infinities stay infinite, NaN stays NaN, zeros keep their sign.
 *
 * @see <a href="https://arxiv.org/abs/2209.05433">FP8 Formats for Deep Learning</a>, for the two of 8 bits
 */
public enum FloatFormat {
    F64(Double.BYTES, 52),
    F32(Float.BYTES, 23),
    F16(Short.BYTES, 10),
    BF16(Short.BYTES, 7),
    /** No infinities, one NaN: 448 is the largest value. Read only. */
    F8_E4M3(Byte.BYTES, 3),
    /** The upper byte of an F16. Read only. */
    F8_E5M2(Byte.BYTES, 2);

    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final int bytes;
    private final int fractionBits;

    FloatFormat(int bytes, int fractionBits) {
        this.bytes = bytes;
        this.fractionBits = fractionBits;
    }

    /** The size of one element. */
    public int bytes() {
        return bytes;
    }

    /** The bits of an element's fraction: how finely it resolves. */
    public int fractionBits() {
        return fractionBits;
    }

    /** Whether float32 values can be written in this format. */
    public boolean writable() {
        return bytes > Byte.BYTES;
    }

    /**
     * Converts elements to float32.
     *
     * @param source little-endian elements
     * @param from the first of them
     * @param into gets {@code count} values, from its start
     */
    public void decode(MemorySegment source, long from, float[] into, int count) {
        switch (this) {
            case F64 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = (float) source.get(DOUBLE, (from + i) * Double.BYTES);
                }
            }
            case F32 -> MemorySegment.copy(source, FLOAT, from * Float.BYTES, into, 0, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = Float.float16ToFloat(source.get(SHORT, (from + i) * Short.BYTES));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = fromBfloat16(source.get(SHORT, (from + i) * Short.BYTES));
                }
            }
            case F8_E4M3 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = fromE4m3(source.get(ValueLayout.JAVA_BYTE, from + i));
                }
            }
            case F8_E5M2 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = Float.float16ToFloat((short) (source.get(ValueLayout.JAVA_BYTE, from + i) << 8));
                }
            }
        }
    }

    /**
     * Converts float32 values to this format.
     *
     * @param from the first of {@code count} values
     * @param target gets little-endian elements, from its start
     * @throws IllegalArgumentException if the format is read only
     */
    public void encode(float[] values, int from, int count, MemorySegment target) {
        switch (this) {
            case F64 -> {
                for (int i = 0; i < count; i++) {
                    target.set(DOUBLE, (long) i * Double.BYTES, values[from + i]);
                }
            }
            case F32 -> MemorySegment.copy(values, from, target, FLOAT, 0, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    target.set(SHORT, (long) i * Short.BYTES, Float.floatToFloat16(values[from + i]));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    target.set(SHORT, (long) i * Short.BYTES, toBfloat16(values[from + i]));
                }
            }
            case F8_E4M3, F8_E5M2 -> throw new IllegalArgumentException(this + " is read, not written");
        }
    }

    /** The bfloat16 nearest to a float32: its upper half, rounded. */
    public static short toBfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            // the quiet bit keeps a payload that is lost by the cut from becoming infinity
            return (short) ((bits >>> 16) | 0x40);
        }
        return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
    }

    /** The value of a bfloat16. */
    public static float fromBfloat16(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    private static float fromE4m3(byte bits) {
        int magnitude = bits & 0x7f;
        if (magnitude == 0x7f) {
            return Float.NaN;
        }
        // the seven bits, moved to where float16 has exponent and fraction, are a number whose bias is 15, not 7
        float value = Float.float16ToFloat((short) (magnitude << 7)) * 0x1p8f;
        return bits < 0 ? -value : value;
    }
}
