package dev.adapt.formats.gguf;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Q8_0: blocks of 32 values {@code d·q}, stored as the float16 {@code d} and 32 signed bytes. {@code d} is the largest
 * magnitude over 127; q is {@code x/d}, rounded to the nearest integer, halves away from zero, with d in float32.
 */
final class Q8Blocks {
    static final int SIZE = GgmlType.Q8_0.blockElements();
    private static final int BYTES = GgmlType.Q8_0.blockBytes();
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private Q8Blocks() {}

    /**
     * Quantizes whole blocks.
     *
     * @param count a multiple of 32
     * @return whether all values are finite and all scales fit float16
     */
    static boolean encode(float[] values, int from, int count, MemorySegment target) {
        boolean finite = true;
        byte[] quants = new byte[SIZE];
        for (int block = 0; block < count / SIZE; block++) {
            float largest = largest(values, from + block * SIZE);
            float scale = largest / 127;
            short half = Float.floatToFloat16(scale);
            // NaN is the largest where there is one
            finite &= Float.float16ToFloat(half) <= Float.MAX_VALUE && largest <= Float.MAX_VALUE;
            quantize(values, from + block * SIZE, scale == 0 ? 0 : 1 / scale, quants);
            long to = (long) block * BYTES;
            target.set(SHORT, to, half);
            MemorySegment.copy(quants, 0, target, ValueLayout.JAVA_BYTE, to + 2, SIZE);
        }
        return finite;
    }

    private static float largest(float[] values, int at) {
        float largest = 0;
        for (int i = 0; i < SIZE; i++) {
            largest = Math.max(largest, Math.abs(values[at + i]));
        }
        return largest;
    }

    private static void quantize(float[] values, int at, float inverse, byte[] into) {
        for (int i = 0; i < SIZE; i++) {
            float value = values[at + i] * inverse;
            int whole = (int) value;
            // exact: adding 0.5 to a value just below it would round up
            float rest = value - whole;
            into[i] = (byte) (whole + (rest >= 0.5f ? 1 : rest <= -0.5f ? -1 : 0));
        }
    }

    /** Widens whole blocks. */
    static void decode(MemorySegment source, long firstBlock, float[] into, int count) {
        for (int block = 0; block < count / SIZE; block++) {
            long from = (firstBlock + block) * BYTES;
            float scale = Float.float16ToFloat(source.get(SHORT, from));
            for (int i = 0; i < SIZE; i++) {
                into[block * SIZE + i] = scale * source.get(ValueLayout.JAVA_BYTE, from + 2 + i);
            }
        }
    }
}
