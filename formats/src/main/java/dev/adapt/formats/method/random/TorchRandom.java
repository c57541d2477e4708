package dev.adapt.formats.method.random;

/**
 * The random numbers of torch's generator on the CPU, bit for bit: MT19937 (Matsumoto and Nishimura, "Mersenne Twister", ACM
 * TOMACS 8(1), 1998).
 */
public final class TorchRandom {
    private static final int N = 624;
    private static final int M = 397;

    private final int[] state = new int[N];
    private int at = N;

    /**
     * A generator.
     *
     * @param seed of which torch uses the low 32 bits
     */
    public TorchRandom(long seed) {
        state[0] = (int) seed;
        for (int j = 1; j < N; j++) {
            state[j] = 1812433253 * (state[j - 1] ^ (state[j - 1] >>> 30)) + j;
        }
    }

    /** The next 32 bits. */
    public int next() {
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
