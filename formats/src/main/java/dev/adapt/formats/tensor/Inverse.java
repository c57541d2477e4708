package dev.adapt.formats.tensor;

import java.util.Optional;

/** The inverse of a square matrix, by Gauss-Jordan elimination with pivots by row, in float64. */
public final class Inverse {
    private Inverse() {}

    /**
     * The inverse.
     *
     * @param matrix [n, n]
     * @return empty where a pivot is 0: the matrix is singular
     */
    public static Optional<DoubleTensor> of(DoubleTensor matrix) {
        int n = Math.toIntExact(matrix.shape().dim(0));
        double[][] rows = new double[n][2 * n];
        for (int i = 0; i < n; i++) {
            System.arraycopy(matrix.values(), i * n, rows[i], 0, n);
            rows[i][n + i] = 1;
        }
        for (int k = 0; k < n; k++) {
            exchange(rows, k, largest(rows, k));
            double pivot = rows[k][k];
            if (pivot == 0 || !Double.isFinite(pivot)) {
                return Optional.empty();
            }
            for (int j = k; j < 2 * n; j++) {
                rows[k][j] /= pivot;
            }
            for (int i = 0; i < n; i++) {
                if (i != k && rows[i][k] != 0) {
                    subtract(rows[i], rows[k], rows[i][k], k);
                }
            }
        }
        double[] inverse = new double[n * n];
        for (int i = 0; i < n; i++) {
            System.arraycopy(rows[i], n, inverse, i * n, n);
        }
        return Optional.of(new DoubleTensor(matrix.shape(), inverse));
    }

    private static int largest(double[][] rows, int k) {
        int largest = k;
        for (int i = k + 1; i < rows.length; i++) {
            if (Math.abs(rows[i][k]) > Math.abs(rows[largest][k])) {
                largest = i;
            }
        }
        return largest;
    }

    private static void exchange(double[][] rows, int i, int j) {
        double[] row = rows[i];
        rows[i] = rows[j];
        rows[j] = row;
    }

    private static void subtract(double[] row, double[] other, double times, int from) {
        for (int j = from; j < row.length; j++) {
            row[j] -= times * other[j];
        }
    }
}
