package dev.adapt.formats.method.random;

import java.util.HashSet;
import java.util.Set;

/**
 * The random numbers of NumPy's {@code default_rng}, bit for bit: PCG64 (O'Neill, HMC-CS-2014-0905, 2014), seeded by
 * {@code SeedSequence}, with bounded integers by Lemire's method for {@code choice} and by masks for {@code shuffle}.
 */
public final class NumpyRandom {
    private static final long MULTIPLIER_HIGH = 0x2360ed051fc65da4L;
    private static final long MULTIPLIER_LOW = 0x4385df649fccf645L;
    private static final int POOL = 4;
    /** Populations of more elements, of which many are drawn, are shuffled and not drawn one by one. */
    private static final int LARGE = 10_000;

    private final long incrementHigh;
    private final long incrementLow;
    private long stateHigh;
    private long stateLow;
    private boolean half;
    private int kept;

    /**
     * A generator.
     *
     * @param seed not negative
     */
    public NumpyRandom(long seed) {
        long[] words = seeded(seed);
        incrementHigh = (words[2] << 1) | (words[3] >>> 63);
        incrementLow = (words[3] << 1) | 1;
        step();
        add(words[0], words[1]);
        step();
    }

    /** The state times the multiplier, plus the increment, modulo 2^128. */
    private void step() {
        long high = Math.unsignedMultiplyHigh(stateLow, MULTIPLIER_LOW)
                + stateHigh * MULTIPLIER_LOW
                + stateLow * MULTIPLIER_HIGH;
        stateLow *= MULTIPLIER_LOW;
        stateHigh = high;
        add(incrementHigh, incrementLow);
    }

    private void add(long high, long low) {
        stateLow += low;
        stateHigh += high + (Long.compareUnsigned(stateLow, low) < 0 ? 1 : 0);
    }

    /** Four words of state, of a pool that the seed's words are mixed into. */
    private static long[] seeded(long seed) {
        int[] entropy = seed >>> 32 == 0 ? new int[] {(int) seed} : new int[] {(int) seed, (int) (seed >>> 32)};
        int[] pool = new int[POOL];
        int[] hash = {0x43b0d7e5};
        for (int i = 0; i < POOL; i++) {
            pool[i] = hashed(i < entropy.length ? entropy[i] : 0, hash, 0x931e8875);
        }
        for (int from = 0; from < POOL; from++) {
            for (int to = 0; to < POOL; to++) {
                if (from != to) {
                    int mixed = 0xca01f9dd * pool[to] - 0x4973f715 * hashed(pool[from], hash, 0x931e8875);
                    pool[to] = mixed ^ (mixed >>> 16);
                }
            }
        }
        int[] output = {0x8b51f9dd};
        long[] words = new long[POOL];
        for (int i = 0; i < 2 * POOL; i++) {
            long word = hashed(pool[i % POOL], output, 0x58f38ded) & 0xffffffffL;
            words[i / 2] |= word << (32 * (i % 2));
        }
        return words;
    }

    private static int hashed(int value, int[] hash, int multiplier) {
        int mixed = value ^ hash[0];
        hash[0] *= multiplier;
        mixed *= hash[0];
        return mixed ^ (mixed >>> 16);
    }

    private long next64() {
        step();
        return Long.rotateRight(stateHigh ^ stateLow, (int) (stateHigh >>> 58));
    }

    private int next32() {
        if (half) {
            half = false;
            return kept;
        }
        long both = next64();
        half = true;
        kept = (int) (both >>> 32);
        return (int) both;
    }

    /** Uniform in 0 to {@code most}, inclusive: the high bits of a product (Lemire, arXiv 1805.10941). */
    private int bounded(int most) {
        if (most == 0) {
            return 0;
        }
        long count = most + 1L;
        long product = (next32() & 0xffffffffL) * count;
        if ((product & 0xffffffffL) < count) {
            long threshold = (0xffffffffL - most) % count;
            while ((product & 0xffffffffL) < threshold) {
                product = (next32() & 0xffffffffL) * count;
            }
        }
        return (int) (product >>> 32);
    }

    /** Uniform in 0 to {@code most}, inclusive: the low bits of a draw, until they are in range. */
    private int masked(int most) {
        int mask = most == 0 ? 0 : -1 >>> Integer.numberOfLeadingZeros(most);
        if (mask == 0) {
            return 0;
        }
        int value = next32() & mask;
        while (value > most) {
            value = next32() & mask;
        }
        return value;
    }

    /** {@code shuffle(values)}. */
    public void shuffle(int[] values) {
        for (int i = values.length - 1; i > 0; i--) {
            exchange(values, i, masked(i));
        }
    }

    private void shuffle(int[] values, int first) {
        for (int i = values.length - 1; i >= first; i--) {
            exchange(values, i, bounded(i));
        }
    }

    private static void exchange(int[] values, int i, int j) {
        int old = values[i];
        values[i] = values[j];
        values[j] = old;
    }

    /** {@code choice(population, size, replace=False)}. */
    public int[] choice(int population, int size) {
        if (population > LARGE && size > population / 50) {
            int[] all = new int[population];
            for (int i = 0; i < population; i++) {
                all[i] = i;
            }
            shuffle(all, Math.max(population - size, 1));
            int[] drawn = new int[size];
            System.arraycopy(all, population - size, drawn, 0, size);
            return drawn;
        }
        int[] drawn = new int[size];
        Set<Integer> seen = new HashSet<>();
        for (int most = population - size; most < population; most++) {
            int value = bounded(most);
            int own = seen.contains(value) ? most : value;
            seen.add(own);
            drawn[most - population + size] = own;
        }
        shuffle(drawn, 1);
        return drawn;
    }
}
