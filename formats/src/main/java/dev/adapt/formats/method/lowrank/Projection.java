package dev.adapt.formats.method.lowrank;

import dev.adapt.formats.tensor.NativeTensor;
import dev.adapt.formats.tensor.Shape;
import java.lang.foreign.ValueLayout;

/**
 * VeRA's shared matrices A [rank, in] and B [out, rank], bit for bit as PEFT draws them on torch's CPU generator: one
 * MT19937 stream, first A, then B, row-major, each Kaiming-uniform (a = 0) in the number of its columns.
 *
 * <p>The stream is Matsumoto and Nishimura's ("Mersenne Twister", ACM TOMACS 8(1), 1998); the mapping to floats is
 * torch's {@code uniform_} on float32: 24 bits of each draw, times the range, plus the lower bound.
 */
public record Projection(NativeTensor a, NativeTensor b) {
    /** How {@code x·range + low} was rounded where the adapter was trained. */
    public enum Rounding {
        /** Once: CPUs with fused multiply-add, which is all current ones. */
        FMA,
        /** Twice: torch's path for CPUs without FMA. About half of B's elements then differ in the last bit. */
        UNFUSED
    }

    /**
     * Draws both matrices.
     *
     * @param key PEFT's {@code projection_prng_key}; torch seeds the stream with its low 32 bits
     * @param in columns of A: the largest input width of all target modules
     * @param out rows of B: the largest output width of all target modules
     */
    public static Projection draw(long key, int rank, int in, int out, Rounding rounding) {
        Stream stream = new Stream((int) key);
        NativeTensor a = uniform(stream, Shape.of(rank, in), rounding);
        NativeTensor b = uniform(stream, Shape.of(out, rank), rounding);
        return new Projection(a, b);
    }

    private static NativeTensor uniform(Stream stream, Shape shape, Rounding rounding) {
        double bound = Math.sqrt(3.0) * (Math.sqrt(2.0) / Math.sqrt((double) shape.dim(1)));
        float low = (float) -bound;
        float range = (float) bound - low;
        NativeTensor drawn = NativeTensor.zeros(shape);
        for (long i = 0; i < shape.elements(); i++) {
            float x = (stream.next() & 0xffffff) * 0x1p-24f;
            float value = rounding == Rounding.FMA ? Math.fma(x, range, low) : x * range + low;
            drawn.values().setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
        }
        return drawn;
    }

    /** MT19937, 32 bits at a time. */
    static final class Stream {
        private static final int N = 624;
        private static final int M = 397;

        private final int[] state = new int[N];
        private int at = N;

        Stream(int seed) {
            state[0] = seed;
            for (int j = 1; j < N; j++) {
                state[j] = 1812433253 * (state[j - 1] ^ (state[j - 1] >>> 30)) + j;
            }
        }

        int next() {
            if (at == N) {
                twist();
            }
            int y = state[at++];
            y ^= y >>> 11;
            y ^= (y << 7) & 0x9d2c5680;
            y ^= (y << 15) & 0xefc60000;
            return y ^ (y >>> 18);
        }

        private void twist() {
            for (int k = 0; k < N; k++) {
                int y = (state[k] & 0x80000000) | (state[(k + 1) % N] & 0x7fffffff);
                state[k] = state[(k + M) % N] ^ (y >>> 1) ^ ((y & 1) == 0 ? 0 : 0x9908b0df);
            }
            at = 0;
        }
    }
}
