package dev.adapt.formats.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.UsageException;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SamplerTest {
    private static final int DRAWS = 20_000;

    private static float[] random(long seed, int vocabulary) {
        Random random = new Random(seed);
        float[] logits = new float[vocabulary];
        for (int i = 0; i < vocabulary; i++) {
            logits[i] = 3 * (float) random.nextGaussian();
        }
        return logits;
    }

    private static double[] frequencies(Sampler sampler, float[] logits) {
        double[] frequencies = new double[logits.length];
        for (int step = 0; step < DRAWS; step++) {
            frequencies[sampler.choose(logits, step)] += 1.0 / DRAWS;
        }
        return frequencies;
    }

    /** Softmax of the logits over a temperature, over those tokens alone whose logit is at least the threshold. */
    private static double[] softmax(float[] logits, double temperature, double threshold) {
        double[] p = new double[logits.length];
        for (int i = 0; i < p.length; i++) {
            p[i] = logits[i] < threshold ? 0 : Math.exp(logits[i] / temperature);
        }
        double sum = Arrays.stream(p).sum();
        return Arrays.stream(p).map(value -> value / sum).toArray();
    }

    private static void assertDrawnFrom(double[] expected, double[] found) {
        for (int i = 0; i < expected.length; i++) {
            // five standard deviations of a frequency
            double tolerance = 5 * Math.sqrt(expected[i] * (1 - expected[i]) / DRAWS) + 1e-9;
            assertEquals(expected[i], found[i], tolerance, "token " + i);
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "0.7, 2", "2.5, 3"})
    void drawsFromTheSoftmax(double temperature, long seed) {
        float[] logits = random(seed, 12);
        double[] found = frequencies(new Sampler(temperature, 0, 1, seed), logits);
        assertDrawnFrom(softmax(logits, temperature, Double.NEGATIVE_INFINITY), found);
    }

    @Test
    void topKDrawsFromTheBestOfThemAlone() {
        float[] logits = {1, 4, 2, 3, 0};
        assertDrawnFrom(softmax(logits, 2, 2), frequencies(new Sampler(2, 3, 1, 5), logits));
        assertEquals(1, new Sampler(2, 1, 1, 5).choose(logits, 0));
    }

    @Test
    void topPDrawsFromTheFewestThatReachIt() {
        float[] logits = {(float) Math.log(0.1), (float) Math.log(0.5), (float) Math.log(0.15), (float) Math.log(0.25)};
        assertDrawnFrom(softmax(logits, 1, logits[3]), frequencies(new Sampler(1, 0, 0.7, 5), logits));
        assertDrawnFrom(softmax(logits, 1, logits[2]), frequencies(new Sampler(1, 0, 0.8, 5), logits));
        // of the two best alone the first has 2/3
        assertDrawnFrom(softmax(logits, 1, logits[1]), frequencies(new Sampler(1, 2, 0.6, 5), logits));
    }

    @Test
    void withoutTemperatureItIsTheBestAndOfEqualsTheFirst() {
        assertEquals(2, Sampler.GREEDY.choose(new float[] {0, 1, 5, 4}, 0));
        assertEquals(1, Sampler.GREEDY.choose(new float[] {0, 7, 7, 4}, 3));
        assertEquals(1, Sampler.GREEDY.choose(new float[] {0, 7, 7.00001f, 4}, 3));
        assertEquals(2, Sampler.GREEDY.choose(new float[] {0, 7, 7.001f, 4}, 3));
    }

    /** Rounding errors as engines make them do not change what is drawn. */
    @ParameterizedTest
    @CsvSource({"0, 0, 1", "1, 0, 1", "0.8, 40, 1", "1, 0, 0.9", "1.5, 100, 0.95"})
    void roundingErrorsDoNotMatter(double temperature, int topK, double topP) {
        Random random = new Random(9);
        Sampler sampler = new Sampler(temperature, topK, topP, 11);
        for (int step = 0; step < 500; step++) {
            float[] logits = random(step, 2000);
            float[] other = logits.clone();
            for (int i = 0; i < other.length; i++) {
                other[i] += 2e-6f * (random.nextFloat() - 0.5f);
            }
            assertEquals(sampler.choose(logits, step), sampler.choose(other, step), "step " + step);
        }
    }

    @Test
    void theSeedDecidesAndNothingElse() {
        float[] logits = random(1, 50);
        int[] first = draws(new Sampler(1, 0, 1, 3), logits);
        assertEquals(Arrays.toString(first), Arrays.toString(draws(new Sampler(1, 0, 1, 3), logits)));
        assertNotEquals(Arrays.toString(first), Arrays.toString(draws(new Sampler(1, 0, 1, 4), logits)));
        assertTrue(Arrays.stream(first).distinct().count() > 3);
    }

    private static int[] draws(Sampler sampler, float[] logits) {
        int[] draws = new int[100];
        Arrays.setAll(draws, step -> sampler.choose(logits, step));
        return draws;
    }

    @Test
    void whatIsNoNumberIsRefused() {
        float[] broken = {0, Float.NaN};
        float[] none = {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY};
        assertThrows(IllegalArgumentException.class, () -> Sampler.GREEDY.choose(broken, 0));
        assertThrows(IllegalArgumentException.class, () -> Sampler.GREEDY.choose(none, 0));
        assertThrows(UsageException.class, () -> new Sampler(-1, 0, 1, 0));
        assertThrows(UsageException.class, () -> new Sampler(1, -1, 1, 0));
        assertThrows(UsageException.class, () -> new Sampler(1, 0, 0, 0));
    }
}
