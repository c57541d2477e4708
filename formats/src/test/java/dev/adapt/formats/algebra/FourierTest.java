package dev.adapt.formats.algebra;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("A Fourier transform")
class FourierTest {
    @ParameterizedTest(name = "{0} by {1}")
    @CsvSource({"1, 1", "1, 8", "8, 1", "2, 3", "8, 8", "7, 5", "16, 12", "30, 17", "9, 64"})
    @DisplayName("of a sparse spectrum is the sum of its waves, whatever the sizes")
    void realInverse(int rows, int columns) {
        Random random = new Random(31L * rows + columns);
        int count = 6;
        double[] values = random.doubles(count, -1, 1).toArray();
        int[] rowAt = random.ints(count, 0, rows).toArray();
        int[] columnAt = random.ints(count, 0, columns).toArray();
        double[] expected = new double[rows * columns];
        for (int p = 0; p < rows; p++) {
            for (int q = 0; q < columns; q++) {
                for (int k = 0; k < count; k++) {
                    double turns = (double) p * rowAt[k] / rows + (double) q * columnAt[k] / columns;
                    expected[p * columns + q] += values[k] * Math.cos(2 * Math.PI * turns) / (rows * columns);
                }
            }
        }
        Frequencies at = new Frequencies(rowAt, columnAt, rows, columns);
        assertArrayEquals(expected, Fourier.realInverse(values, at, 0, rows), 1e-14);
        for (int row = 0; row < rows; row++) {
            double[] own = Arrays.copyOfRange(expected, row * columns, rows * columns);
            assertArrayEquals(own, Fourier.realInverse(values, at, row, rows - row), 1e-14);
        }
    }
}
