package dev.adapt.train.metric;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Metrics, against values worked out by hand or published")
class MetricTest {
    private static Confusion confusion(int[]... counts) {
        Confusion confusion = new Confusion(counts.length);
        for (int truth = 0; truth < counts.length; truth++) {
            for (int predicted = 0; predicted < counts.length; predicted++) {
                for (int i = 0; i < counts[truth][predicted]; i++) {
                    confusion.add(truth, predicted);
                }
            }
        }
        return confusion;
    }

    @Test
    @DisplayName("of two classes")
    void binary() {
        // TN 50, FP 10, FN 5, TP 35
        Confusion confusion = confusion(new int[] {50, 10}, new int[] {5, 35});
        assertEquals(0.85, confusion.accuracy(), 1e-12);
        assertEquals(2 * 35 / (2 * 35 + 10 + 5.0), confusion.f1(), 1e-12);
        double matthews = (35.0 * 50 - 10.0 * 5) / Math.sqrt((35.0 + 10) * (35 + 5) * (50.0 + 10) * (50 + 5));
        assertEquals(matthews, confusion.matthews(), 1e-12);
    }

    @Test
    @DisplayName("of three classes: F1 is the mean over classes, Matthews is R_K")
    void three() {
        Confusion confusion = confusion(new int[] {4, 1, 0}, new int[] {1, 3, 1}, new int[] {0, 2, 3});
        assertEquals(10 / 15.0, confusion.accuracy(), 1e-12);
        assertEquals((8 / 10.0 + 6 / 11.0 + 6 / 9.0) / 3, confusion.f1(), 1e-12);
        // c·s − Σ p·t = 10·15 − (5·5 + 6·5 + 4·5); predicted 5, 6, 4, true 5, 5, 5
        double above = 10 * 15 - (5 * 5 + 6 * 5 + 4 * 5);
        double below = Math.sqrt((15 * 15 - (25 + 36 + 16)) * (15.0 * 15 - 75));
        assertEquals(above / below, confusion.matthews(), 1e-12);
    }

    @Test
    @DisplayName("when all is right, and when one class is all that is ever predicted")
    void extremes() {
        Confusion right = confusion(new int[] {7, 0}, new int[] {0, 3});
        assertEquals(1, right.accuracy());
        assertEquals(1, right.f1());
        assertEquals(1, right.matthews(), 1e-12);
        Confusion constant = confusion(new int[] {7, 0}, new int[] {3, 0});
        assertEquals(0.7, constant.accuracy(), 1e-12);
        assertEquals(0, constant.f1());
        assertEquals(0, constant.matthews());
    }

    @Test
    @DisplayName("Pearson's correlation, of Anscombe's first quartet: 0.81642")
    void pearson() {
        double[] x = {10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5};
        double[] y = {8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68};
        assertEquals(0.81642, Correlation.pearson(x, y), 5e-6);
        assertEquals(1, Correlation.pearson(x, x), 1e-12);
        assertEquals(0, Correlation.pearson(x, new double[11]), "undefined, said to be 0");
    }

    @Test
    @DisplayName("Spearman's correlation; ties share the mean of their ranks")
    void spearman() {
        assertArrayEquals(new double[] {1, 2.5, 5, 2.5, 5, 5}, Correlation.ranks(new double[] {-1, 0, 7, 0, 7, 7}), 0);
        // the textbook's IQ against hours of television: 1 − 6·194/(10·99)
        double[] iq = {106, 100, 86, 101, 99, 103, 97, 113, 112, 110};
        double[] hours = {7, 27, 2, 50, 28, 29, 20, 12, 6, 17};
        assertEquals(-29.0 / 165, Correlation.spearman(iq, hours), 1e-12);
        // ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5/√(4.5·5)
        double[] tied = {1, 2, 2, 3};
        assertEquals(4.5 / Math.sqrt(4.5 * 5), Correlation.spearman(tied, new double[] {5, 6, 7, 8}), 1e-12);
    }

    @Test
    @DisplayName("are better when higher, perplexity when lower")
    void direction() {
        assertTrue(Metric.ACCURACY.better(0.9, 0.8));
        assertFalse(Metric.ACCURACY.better(0.8, 0.8));
        assertTrue(Metric.PERPLEXITY.better(3, 4));
        assertFalse(Metric.PERPLEXITY.better(5, 4));
    }
}
