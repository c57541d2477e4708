package dev.adapt.formats.tensor;

/** Orthonormal bases, by the method of Gram and Schmidt applied twice, for columns that are nearly dependent. */
public final class Orthonormal {
    private Orthonormal() {}

    /**
     * An orthonormal basis of the columns of a matrix.
     *
     * @param columns [m, n]
     * @param least a column of which no more than this share is left, once those before it are taken away, becomes 0
     * @return [m, n]
     */
    public static DoubleTensor of(DoubleTensor columns, double least) {
        int m = Math.toIntExact(columns.shape().dim(0));
        int n = Math.toIntExact(columns.shape().dim(1));
        double[] basis = columns.values().clone();
        for (int k = 0; k < n; k++) {
            double whole = Math.sqrt(dot(basis, m, n, k, k));
            for (int earlier = 0; earlier < 2 * k; earlier++) {
                subtract(basis, m, n, k, earlier % k);
            }
            double left = Math.sqrt(dot(basis, m, n, k, k));
            for (int i = 0; i < m; i++) {
                basis[i * n + k] = left <= least * whole ? 0 : basis[i * n + k] / left;
            }
        }
        return new DoubleTensor(columns.shape(), basis);
    }

    private static void subtract(double[] basis, int m, int n, int column, int unit) {
        double along = dot(basis, m, n, column, unit);
        for (int i = 0; i < m; i++) {
            basis[i * n + column] -= along * basis[i * n + unit];
        }
    }

    private static double dot(double[] columns, int m, int n, int one, int other) {
        double sum = 0;
        for (int i = 0; i < m; i++) {
            sum += columns[i * n + one] * columns[i * n + other];
        }
        return sum;
    }
}
