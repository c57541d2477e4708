package dev.adapt.formats.gguf;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Q8_0: blocks of 32 values {@code d·q}, stored as the float16 {@code d} and 32 signed bytes. {@code d} is the largest
 * magnitude over 127; q is {@code x/d}, rounded to the nearest integer, halves away from zero, with d in float32.
 */
public final class Q8Blocks {
    static final int SIZE = GgmlType.Q8_0.blockElements();
    private static final int BYTES = GgmlType.Q8_0.blockBytes();

    /** Elements quantized at a time: what is in between stays in the cache. */
    private static final int CHUNK = 1 << 12;

    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final int[] bits = new int[CHUNK];
    private final float[] inverses = new float[CHUNK];
    private final byte[] quants = new byte[CHUNK];
    private boolean finite = true;

    /**
     * Quantizes whole blocks. It goes over a chunk again and again, one operation each time, since C2 makes vector code of long
     * loops over arrays and none of loops over the 32 elements of a block: an eighth of the time.
     *
     * @param count a multiple of 32
     * @return whether all values are finite and all scales fit float16
     */
    public boolean encode(float[] values, int count, MemorySegment target) {
        finite = true;
        for (int from = 0; from < count; from += CHUNK) {
            int chunk = Math.min(CHUNK, count - from);
            MemorySegment blocks = target.asSlice((long) from / SIZE * BYTES, (long) chunk / SIZE * BYTES);
            MemorySegment.copy(
                    MemorySegment.ofArray(values),
                    (long) from * Float.BYTES,
                    MemorySegment.ofArray(bits),
                    0,
                    4L * chunk);
            scale(chunk, blocks);
            quantize(values, from, chunk);
            sign(chunk);
            narrow(chunk);
            for (int block = 0; block < chunk / SIZE; block++) {
                MemorySegment.copy(
                        quants, block * SIZE, blocks, ValueLayout.JAVA_BYTE, (long) block * BYTES + Short.BYTES, SIZE);
            }
        }
        return finite;
    }

    private void scale(int count, MemorySegment blocks) {
        for (int block = 0; block < count / SIZE; block++) {
            float largest = Float.intBitsToFloat(largest(block * SIZE));
            float scale = largest / 127;
            short half = Float.floatToFloat16(scale);
            // NaN is the largest where there is one
            finite &= Float.float16ToFloat(half) <= Float.MAX_VALUE && largest <= Float.MAX_VALUE;
            blocks.set(SHORT, (long) block * BYTES, half);
            Arrays.fill(inverses, block * SIZE, (block + 1) * SIZE, scale == 0 ? 0 : 1 / scale);
        }
    }

    /** The largest magnitude of a block: without their signs, floats are in the order of their bits. */
    private int largest(int at) {
        int largest = 0;
        for (int i = 0; i < SIZE; i++) {
            largest = Math.max(largest, bits[at + i] & Integer.MAX_VALUE);
        }
        return largest;
    }

    /** Magnitudes first. Adding 0.5 itself would round up the number just below it. */
    private void quantize(float[] values, int from, int count) {
        for (int i = 0; i < count; i++) {
            inverses[i] = Math.abs(values[from + i] * inverses[i]) + 0x1.fffffep-2f;
        }
    }

    private void sign(int count) {
        for (int i = 0; i < count; i++) {
            int sign = bits[i] >> 31;
            bits[i] = ((int) inverses[i] ^ sign) - sign;
        }
    }

    private void narrow(int count) {
        for (int i = 0; i < count; i++) {
            quants[i] = (byte) bits[i];
        }
    }

    /** Widens whole blocks. */
    public static void decode(MemorySegment source, float[] into, int count) {
        for (int block = 0; block < count / SIZE; block++) {
            long from = (long) block * BYTES;
            float scale = Float.float16ToFloat(source.get(SHORT, from));
            for (int i = 0; i < SIZE; i++) {
                into[block * SIZE + i] = scale * source.get(ValueLayout.JAVA_BYTE, from + 2 + i);
            }
        }
    }
}
