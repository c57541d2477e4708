package dev.adapt.formats.method.random;

import java.util.Arrays;

/**
 * Distinct indices of equal probability as NumPy's {@code RandomState(seed).choice(n, count, replace=False, p=1/n)} draws
 * them: with the probabilities given, it inverts the cumulated probabilities of those that are left.
 */
public final class NumpyChoice {
    private NumpyChoice() {}

    /**
     * The indices, in the order they were drawn.
     *
     * @param count at most {@code n}
     */
    public static int[] of(int n, int count, long seed) {
        // the generator is torch's: MT19937, seeded in the same way
        TorchRandom random = new TorchRandom(seed);
        double[] probabilities = new double[n];
        // scikit-learn divides in float32
        Arrays.fill(probabilities, 1f / n);
        int[] found = new int[count];
        int have = 0;
        while (have < count) {
            double[] drawn = new double[count - have];
            for (int i = 0; i < drawn.length; i++) {
                drawn[i] = random.numpyUnit();
            }
            for (int i = 0; i < have; i++) {
                probabilities[found[i]] = 0;
            }
            double[] cumulated = probabilities.clone();
            Arrays.parallelPrefix(cumulated, Double::sum);
            have = add(cumulated, drawn, found, have);
        }
        return found;
    }

    private static int add(double[] cumulated, double[] drawn, int[] found, int have) {
        double sum = cumulated[cumulated.length - 1];
        int now = have;
        for (double each : drawn) {
            int index = 0;
            while (cumulated[index] / sum <= each) {
                index++;
            }
            int own = index;
            if (Arrays.stream(found, 0, now).noneMatch(other -> other == own)) {
                found[now++] = own;
            }
        }
        return now;
    }
}
