package dev.adapt.merge.lowrank;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.analysis.Similarities;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("The similarity of subspaces")
class SubspaceTest {
    /** Columns 3·e₀ and 2·e₁ of four. */
    private static final Subspace FIRST = columns(3, 0, 0, 2, 0, 0, 0, 0);

    private static Subspace columns(double... values) {
        return Subspace.of(new DoubleTensor(Shape.of(4, 2), values));
    }

    @Test
    @DisplayName("is 1 for the same directions, 0 for orthogonal ones, and a half where one of two is shared")
    void isTheSharedPart() {
        assertEquals(1, FIRST.similarity(columns(1, 1, -1, 1, 0, 0, 0, 0), 2, 2), 1e-12);
        assertEquals(0, FIRST.similarity(columns(0, 0, 0, 0, 1, 0, 0, 1), 2, 2), 1e-12);
        assertEquals(0.5, FIRST.similarity(columns(5, 0, 0, 0, 0, 1, 0, 0), 2, 2), 1e-12);
        // the strongest direction of the one lies within both of the other
        assertEquals(1, FIRST.similarity(columns(1, 0, 0, 9, 0, 0, 0, 0), 1, 2), 1e-12);
        assertEquals(0, FIRST.similarity(columns(1, 0, 0, 9, 0, 0, 0, 0), 1, 1), 1e-12);
    }

    @ParameterizedTest
    @CsvSource({"64, 4", "300, 8", "300, 30"})
    @DisplayName("of random directions is about their share of all")
    void randomsAreFar(int d, int k) {
        Random random = new Random(5);
        double sum = 0;
        for (int run = 0; run < 20; run++) {
            sum += Subspace.random(d, k, random).similarity(Subspace.random(d, k, random), k, k);
        }
        assertEquals((double) k / d, sum / 20, 0.25 * k / d);
    }

    @Test
    @DisplayName("averages over layers without the diagonal")
    void averages() {
        Subspace half = columns(5, 0, 0, 0, 0, 1, 0, 0);
        Similarities found = Similarities.of(List.of("a", "b", "c"), List.of(FIRST, half, FIRST), 2);
        assertEquals((0.5 + 1 + 0.5) / 3, found.mean(), 1e-12);
    }

    @Test
    @DisplayName("is not defined for a matrix of zeros")
    void zerosHaveNone() {
        assertThrows(ArithmeticException.class, () -> columns(0, 0, 0, 0, 0, 0, 0, 0));
    }
}
