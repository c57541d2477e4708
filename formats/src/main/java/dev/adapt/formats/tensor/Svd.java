package dev.adapt.formats.tensor;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * The singular value decomposition of a matrix [m, n], {@code W = Σₖ values[k]·left[k]·right[k]ᵀ}, by one-sided Jacobi
 * rotations (Hestenes, 1958) in float64: slow for large matrices, and accurate.
 *
 * @param left min(m, n) vectors of length m, all 0 where the singular value is 0
 * @param values not negative, in descending order
 * @param right min(m, n) vectors of length n
 */
@SuppressWarnings("ArrayRecordComponent")
public record Svd(double[][] left, double[] values, double[][] right) {
    /** Vectors whose cosine is less are orthogonal. */
    private static final double ORTHOGONAL = 1e-15;

    private static final int MOST_SWEEPS = 60;

    /** Decomposes a matrix. */
    public static Svd of(DoubleTensor matrix) {
        int rows = Math.toIntExact(matrix.shape().dim(0));
        int columns = Math.toIntExact(matrix.shape().dim(1));
        boolean tall = rows >= columns;
        // the vectors that become orthogonal: the columns of a tall matrix, the rows of a wide one
        double[][] vectors = new double[tall ? columns : rows][tall ? rows : columns];
        for (int i = 0; i < vectors.length; i++) {
            for (int j = 0; j < vectors[i].length; j++) {
                vectors[i][j] = matrix.values()[tall ? j * columns + i : i * columns + j];
            }
        }
        double[][] rotation = new double[vectors.length][vectors.length];
        for (int i = 0; i < rotation.length; i++) {
            rotation[i][i] = 1;
        }
        int sweeps = 0;
        while (sweep(vectors, rotation) && sweeps < MOST_SWEEPS) {
            sweeps++;
        }
        return sorted(vectors, rotation, tall);
    }

    /** Rotates each pair of vectors until they are orthogonal; whether any were not. */
    private static boolean sweep(double[][] vectors, double[][] rotation) {
        boolean turned = false;
        for (int i = 0; i < vectors.length - 1; i++) {
            for (int j = i + 1; j < vectors.length; j++) {
                double a = dot(vectors[i], vectors[i]);
                double b = dot(vectors[j], vectors[j]);
                double c = dot(vectors[i], vectors[j]);
                if (c == 0 || Math.abs(c) <= ORTHOGONAL * Math.sqrt(a) * Math.sqrt(b)) {
                    continue;
                }
                double zeta = (b - a) / (2 * c);
                double tangent = Math.copySign(1, zeta) / (Math.abs(zeta) + Math.hypot(1, zeta));
                double cosine = 1 / Math.hypot(1, tangent);
                rotate(vectors[i], vectors[j], cosine, cosine * tangent);
                rotate(rotation[i], rotation[j], cosine, cosine * tangent);
                turned = true;
            }
        }
        return turned;
    }

    private static void rotate(double[] x, double[] y, double cosine, double sine) {
        for (int k = 0; k < x.length; k++) {
            double old = x[k];
            x[k] = cosine * old - sine * y[k];
            y[k] = sine * old + cosine * y[k];
        }
    }

    private static double dot(double[] x, double[] y) {
        double sum = 0;
        for (int k = 0; k < x.length; k++) {
            sum += x[k] * y[k];
        }
        return sum;
    }

    private static Svd sorted(double[][] vectors, double[][] rotation, boolean tall) {
        double[] norms = Arrays.stream(vectors)
                .mapToDouble(vector -> Math.sqrt(dot(vector, vector)))
                .toArray();
        int[] order = IntStream.range(0, norms.length)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -norms[i]))
                .mapToInt(Integer::intValue)
                .toArray();
        double[] values = Arrays.stream(order).mapToDouble(i -> norms[i]).toArray();
        double[][] units = new double[order.length][];
        double[][] others = new double[order.length][];
        for (int k = 0; k < order.length; k++) {
            double norm = values[k];
            units[k] = Arrays.stream(vectors[order[k]])
                    .map(x -> norm == 0 ? 0 : x / norm)
                    .toArray();
            others[k] = rotation[order[k]];
        }
        return tall ? new Svd(units, values, others) : new Svd(others, values, units);
    }

    /**
     * Some left vectors as columns, each times a power of its singular value, [m, count].
     *
     * @param power such as 0, 0.5 or -1
     */
    public DoubleTensor leftColumns(int from, int count, double power) {
        int rows = left[0].length;
        double[] columns = new double[rows * count];
        for (int k = 0; k < count; k++) {
            double scale = Math.pow(values[from + k], power);
            for (int row = 0; row < rows; row++) {
                columns[row * count + k] = left[from + k][row] * scale;
            }
        }
        return new DoubleTensor(Shape.of(rows, count), columns);
    }

    /** Some right vectors as rows, each times a power of its singular value, [count, n]. */
    public DoubleTensor rightRows(int from, int count, double power) {
        int columns = right[0].length;
        double[] rows = new double[count * columns];
        for (int k = 0; k < count; k++) {
            double scale = Math.pow(values[from + k], power);
            for (int column = 0; column < columns; column++) {
                rows[k * columns + column] = right[from + k][column] * scale;
            }
        }
        return new DoubleTensor(Shape.of(count, columns), rows);
    }
}
