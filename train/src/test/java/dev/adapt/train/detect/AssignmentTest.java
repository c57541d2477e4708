package dev.adapt.train.detect;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("The assignment of least cost")
class AssignmentTest {
    @ParameterizedTest
    @CsvSource({"1, 1", "1, 5", "2, 2", "3, 7", "4, 4", "5, 8", "6, 6"})
    @DisplayName("costs what the best of all assignments costs")
    void isTheBestOfAll(int rows, int columns) {
        Random random = new Random(rows * 31L + columns);
        for (int trial = 0; trial < 50; trial++) {
            // few different costs, some of them negative, make ties
            boolean coarse = trial % 2 == 0;
            double[][] costs = new double[rows][columns];
            for (double[] row : costs) {
                Arrays.setAll(row, column -> coarse ? random.nextInt(4) - 1 : random.nextGaussian());
            }
            int[] columnOf = Assignment.of(costs);
            assertEquals(rows, Arrays.stream(columnOf).distinct().count());
            double cost = 0;
            for (int row = 0; row < rows; row++) {
                cost += costs[row][columnOf[row]];
            }
            assertEquals(least(costs, 0, new boolean[columns]), cost, 1e-12);
        }
    }

    private static double least(double[][] costs, int row, boolean[] taken) {
        if (row == costs.length) {
            return 0;
        }
        double least = Double.POSITIVE_INFINITY;
        for (int column = 0; column < taken.length; column++) {
            if (!taken[column]) {
                taken[column] = true;
                least = Math.min(least, costs[row][column] + least(costs, row + 1, taken));
                taken[column] = false;
            }
        }
        return least;
    }

    @Test
    @DisplayName("gives up the nearest where another needs it more")
    void givesWay() {
        assertArrayEquals(new int[] {1, 0}, Assignment.of(new double[][] {{1, 2}, {1, 9}}));
        assertArrayEquals(new int[0], Assignment.of(new double[0][0]));
    }

    @Test
    @DisplayName("refuses more rows than columns, and costs that are no numbers")
    void refuses() {
        assertThrows(IllegalArgumentException.class, () -> Assignment.of(new double[][] {{1}, {2}}));
        assertThrows(IllegalArgumentException.class, () -> Assignment.of(new double[][] {{Double.NaN}}));
        assertThrows(IllegalArgumentException.class, () -> Assignment.of(new double[][] {{1, 2}, {3}}));
    }
}
