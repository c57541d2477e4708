package dev.adapt.merge.lowrank;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SvdTest {
    private static DoubleTensor random(int rows, int columns, long seed) {
        Random random = new Random(seed);
        double[] values = new double[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextGaussian();
        }
        return new DoubleTensor(Shape.of(rows, columns), values);
    }

    private static double[] product(Factors factors) {
        return factors.delta().toTensor().values();
    }

    private static void assertOrthonormal(DoubleTensor matrix, boolean columns) {
        int rows = (int) matrix.shape().dim(0);
        int width = (int) matrix.shape().dim(1);
        int k = columns ? width : rows;
        for (int a = 0; a < k; a++) {
            for (int b = 0; b <= a; b++) {
                double dot = 0;
                for (int i = 0; i < (columns ? rows : width); i++) {
                    dot += columns
                            ? matrix.values()[i * width + a] * matrix.values()[i * width + b]
                            : matrix.values()[a * width + i] * matrix.values()[b * width + i];
                }
                assertEquals(a == b ? 1 : 0, dot, 1e-12);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 9", "9, 1", "13, 13", "31, 12", "12, 31"})
    @DisplayName("the decomposition multiplies back to the matrix, with orthonormal factors and ordered values")
    void whole(int rows, int columns) {
        DoubleTensor matrix = random(rows, columns, rows * 100L + columns);
        Svd svd = Svd.of(matrix);
        assertEquals(Math.min(rows, columns), svd.rank());
        assertArrayEquals(matrix.values(), product(svd.factors()), 1e-12);
        assertArrayEquals(matrix.values(), product(svd.balancedFactors()), 1e-12);
        assertOrthonormal(svd.left(), true);
        assertOrthonormal(svd.right(), false);
        for (int i = 1; i < svd.rank(); i++) {
            assertTrue(svd.values()[i] <= svd.values()[i - 1]);
        }
        assertEquals(Rows.of(matrix).squaredNorm(), svd.squaredNorm(), 1e-9);
    }

    @Test
    @DisplayName("a matrix whose singular values are known by hand")
    void byHand() {
        Svd svd = Svd.of(new DoubleTensor(Shape.of(2, 2), new double[] {3, 0, 4, 5}));
        assertEquals(Math.sqrt(45), svd.values()[0], 1e-14);
        assertEquals(Math.sqrt(5), svd.values()[1], 1e-14);
    }

    @ParameterizedTest
    @CsvSource({"20, 3, 30", "30, 3, 20", "5, 8, 40", "40, 8, 5", "4, 9, 6", "1, 1, 1"})
    @DisplayName(
            "the decomposition of a product is that of the matrix it makes, also where the rank is above the sides")
    void ofProduct(int rows, int rank, int columns) {
        Factors factors = new Factors(random(rows, rank, 1), random(rank, columns, 2));
        Svd svd = Svd.ofProduct(factors.left(), factors.right());
        Svd whole = Svd.of(factors.delta().toTensor());
        assertArrayEquals(product(factors), product(svd.factors()), 1e-11);
        for (int i = 0; i < svd.rank(); i++) {
            assertEquals(whole.values()[i], svd.values()[i], 1e-11);
        }
        assertOrthonormal(svd.left(), true);
        assertOrthonormal(svd.right(), false);
    }

    @Test
    @DisplayName("factors whose columns depend on each other, or are zero")
    void ofProductThatIsDeficient() {
        DoubleTensor left = random(12, 4, 1);
        DoubleTensor right = random(4, 9, 2);
        for (int row = 0; row < 12; row++) {
            left.values()[row * 4 + 1] = left.values()[row * 4];
            left.values()[row * 4 + 3] = 0;
        }
        Svd svd = Svd.ofProduct(left, right);
        assertArrayEquals(product(new Factors(left, right)), product(svd.factors()), 1e-12);
        assertOrthonormal(svd.left(), true);
        assertOrthonormal(svd.right(), false);
        assertEquals(0, svd.values()[2], 1e-12);
        Svd zero = Svd.ofProduct(new DoubleTensor(Shape.of(12, 4), new double[48]), right);
        assertArrayEquals(new double[12 * 9], product(zero.balancedFactors()), 1e-15);
        assertOrthonormal(zero.left(), true);
    }

    @ParameterizedTest
    @CsvSource({"600, 700, 5", "700, 520, 16", "530, 530, 1"})
    @DisplayName("a large matrix of low rank comes back to rounding, one seed to one result")
    void randomisedIsExactAtTheRank(int rows, int columns, int rank) {
        Factors factors = new Factors(random(rows, rank, 3), random(rank, columns, 4));
        Svd svd = Svd.leading(factors.delta(), rank);
        assertEquals(rank, svd.rank());
        assertArrayEquals(product(factors), product(svd.factors()), 1e-10);
        assertArrayEquals(svd.values(), Svd.leading(factors.delta(), rank).values());
    }

    @Test
    @DisplayName("beside noise, the randomised decomposition cuts as well as the whole one")
    void randomisedIsNearlyOptimal() {
        int rank = 6;
        DoubleTensor signal =
                new Factors(random(120, rank, 5), random(rank, 90, 6)).delta().toTensor();
        DoubleTensor noise = random(120, 90, 7);
        for (int i = 0; i < noise.values().length; i++) {
            signal.values()[i] += 0.3 * noise.values()[i];
        }
        Svd whole = Svd.of(signal);
        double best = whole.squaredNorm() - whole.truncated(rank).squaredNorm();
        double[] found = product(Svd.randomised(Rows.of(signal), rank, 11).factors());
        double error = 0;
        for (int i = 0; i < found.length; i++) {
            error += (signal.values()[i] - found[i]) * (signal.values()[i] - found[i]);
        }
        assertTrue(error >= best * (1 - 1e-9) && error < best * 1.001, error + " against " + best);
    }

    @Test
    @DisplayName("streamed products are those of the definition, whatever the tiles")
    void streamedProducts() {
        int rows = 2 * Rows.TILE + 3;
        int columns = Rows.STRIP + 6;
        DoubleTensor matrix = random(rows, columns, 8);
        DoubleTensor x = random(columns, 3, 9);
        DoubleTensor y = random(rows, 3, 10);
        double[] times = Rows.of(matrix).times(x).values();
        double[] transposed = Rows.of(matrix).transposeTimes(y).values();
        for (int k = 0; k < 3; k++) {
            for (int row = 0; row < rows; row++) {
                double sum = 0;
                for (int column = 0; column < columns; column++) {
                    sum += matrix.values()[row * columns + column] * x.values()[column * 3 + k];
                }
                assertEquals(sum, times[row * 3 + k], 1e-11);
            }
            for (int column = 0; column < columns; column++) {
                double sum = 0;
                for (int row = 0; row < rows; row++) {
                    sum += matrix.values()[row * columns + column] * y.values()[row * 3 + k];
                }
                assertEquals(sum, transposed[column * 3 + k], 1e-11);
            }
        }
    }

    @Test
    @DisplayName("the rank that holds a share of the squares")
    void rankOfAShare() {
        double[] diagonal = new double[16];
        diagonal[0] = 4;
        diagonal[5] = 2;
        diagonal[10] = 1;
        Svd svd = Svd.of(new DoubleTensor(Shape.of(4, 4), diagonal));
        assertEquals(1, svd.rankOf(16.0 / 21, 21));
        assertEquals(2, svd.rankOf(0.8, 21));
        assertEquals(2, svd.rankOf(20.0 / 21, 21));
        assertEquals(3, svd.rankOf(1, 21));
        assertEquals(3, svd.truncated(2).rankOf(1, 21));
        assertEquals(1, Svd.of(new DoubleTensor(Shape.of(2, 3), new double[6])).rankOf(0.9, 0));
    }

    @Test
    void noNumberHasNoSingularValues() {
        assertThrows(
                ArithmeticException.class,
                () -> Svd.of(new DoubleTensor(Shape.of(1, 2), new double[] {1, Double.NaN})));
    }
}
