package dev.adapt.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Scores, against values worked out by hand")
class ScoresTest {
    @Test
    @DisplayName("of two classes")
    void binary() {
        // TN 50, FP 10, FN 5, TP 35
        Scores scores = Scores.of(0.5, new long[][] {{50, 10}, {5, 35}});
        assertEquals(0.5, scores.loss());
        assertEquals(0.85, scores.accuracy(), 1e-12);
        assertEquals(2 * 35 / (2 * 35 + 10 + 5.0), scores.f1(), 1e-12);
        double matthews = (35.0 * 50 - 10.0 * 5) / Math.sqrt((35.0 + 10) * (35 + 5) * (50.0 + 10) * (50 + 5));
        assertEquals(matthews, scores.matthews(), 1e-12);
    }

    @Test
    @DisplayName("of three classes: F1 is the mean over classes, Matthews is R_K")
    void three() {
        Scores scores = Scores.of(0, new long[][] {{4, 1, 0}, {1, 3, 1}, {0, 2, 3}});
        assertEquals(10 / 15.0, scores.accuracy(), 1e-12);
        assertEquals((8 / 10.0 + 6 / 11.0 + 6 / 9.0) / 3, scores.f1(), 1e-12);
        // c·s − Σ p·t = 10·15 − (5·5 + 6·5 + 4·5); predicted 5, 6, 4, true 5, 5, 5
        double above = 10 * 15 - (5 * 5 + 6 * 5 + 4 * 5);
        double below = Math.sqrt((15 * 15 - (25 + 36 + 16)) * (15.0 * 15 - 75));
        assertEquals(above / below, scores.matthews(), 1e-12);
    }

    @Test
    @DisplayName("when all is right, and when one class is all that is ever predicted")
    void extremes() {
        Scores right = Scores.of(0, new long[][] {{7, 0}, {0, 3}});
        assertEquals(1, right.accuracy());
        assertEquals(1, right.f1());
        assertEquals(1, right.matthews(), 1e-12);
        Scores constant = Scores.of(0, new long[][] {{7, 0}, {3, 0}});
        assertEquals(0.7, constant.accuracy(), 1e-12);
        assertEquals(0, constant.f1());
        assertEquals(0, constant.matthews());
    }
}
