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
        for (int block = 0; block < count / SIZE; block++) {
            int at = from + block * SIZE;
            float largest = 0;
            for (int i = 0; i < SIZE; i++) {
                float magnitude = Math.abs(values[at + i]);
                finite &= magnitude <= Float.MAX_VALUE;
                largest = Math.max(largest, magnitude);
            }
            float scale = largest / 127;
            float inverse = scale == 0 ? 0 : 1 / scale;
            short half = Float.floatToFloat16(scale);
            finite &= Float.float16ToFloat(half) <= Float.MAX_VALUE;
            long to = (long) block * BYTES;
            target.set(SHORT, to, half);
            for (int i = 0; i < SIZE; i++) {
                target.set(ValueLayout.JAVA_BYTE, to + 2 + i, (byte) rounded(values[at + i] * inverse));
            }
        }
        return finite;
    }

    private static int rounded(float value) {
        double magnitude = Math.floor(Math.abs((double) value) + 0.5);
        return (int) (value < 0 ? -magnitude : magnitude);
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
