package dev.adapt.formats.method.random;

/**
 * The random numbers of torch's generator on the CPU, bit for bit: MT19937 (Matsumoto and Nishimura, "Mersenne Twister", ACM
 * TOMACS 8(1), 1998), and torch's mappings to floats.
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

    /** Uniform in [0, 1), a multiple of 2⁻²⁴. */
    public float unit() {
        return (next() & 0xffffff) * 0x1p-24f;
    }

    /** Uniform in [0, 1), a multiple of 2⁻⁵³. */
    private double unitDouble() {
        long high = next();
        long low = next() & 0xffffffffL;
        return (((high << 32) | low) & ((1L << 53) - 1)) * 0x1p-53;
    }

    /** Uniform in [0, 1), a multiple of 2⁻⁵³, as NumPy's {@code RandomState} makes it of the same bits. */
    double numpyUnit() {
        int high = next() >>> 5;
        return (high * 0x1p26 + (next() >>> 6)) * 0x1p-53;
    }

    /**
     * {@code uniform_(low, high)} on float32.
     *
     * @param rounding of {@code x·range + low}
     */
    public float uniform(float low, float high, Rounding rounding) {
        float range = high - low;
        float x = unit();
        return rounding == Rounding.FMA ? Math.fma(x, range, low) : x * range + low;
    }

    /**
     * {@code normal_(0, deviation)} on a float32 tensor of {@code count} elements: up to 15 one by one in float64, more in
     * groups of 16, the first 8 of which are the lengths and the last 8 the angles of Box and Muller's transform.
     */
    public float[] normal(int count, double deviation, Rounding rounding) {
        float[] values = new float[count];
        if (count < 16) {
            oneByOne(values, deviation);
            return values;
        }
        for (int i = 0; i < count; i++) {
            values[i] = unit();
        }
        BoxMuller groups = new BoxMuller((float) deviation, rounding);
        for (int i = 0; i + 16 <= count; i += 16) {
            groups.transform(values, i);
        }
        if (count % 16 != 0) {
            // the last 16 are drawn anew
            for (int i = count - 16; i < count; i++) {
                values[i] = unit();
            }
            groups.transform(values, count - 16);
        }
        return values;
    }

    private void oneByOne(float[] values, double deviation) {
        for (int i = 0; i < values.length; i += 2) {
            double angle = 2 * Math.PI * unitDouble();
            double length = Math.sqrt(-2 * Math.log1p(-unitDouble()));
            values[i] = (float) (length * Math.cos(angle) * deviation);
            if (i + 1 < values.length) {
                values[i + 1] = (float) (length * Math.sin(angle) * deviation);
            }
        }
    }
}
