package dev.adapt.merge.lowrank;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.stream.IntStream;

/**
 * A matrix that need not be in memory: it is read row by row, as often as an algorithm passes over it. Its products are
 * float64, and each element sums in one fixed order, whatever the number of threads.
 */
public interface Rows {
    /** Rows that are read and multiplied at a time. */
    int TILE = 128;

    /** Columns of a product that one thread owns. */
    int STRIP = 256;

    /** The number of its rows. */
    int rows();

    /** The number of its columns. */
    int columns();

    /** Writes a row's elements to {@code into}, from {@code at} on; called for different rows at a time. */
    void read(int row, double[] into, int at);

    /** A matrix in memory, [rows, columns]. */
    static Rows of(DoubleTensor matrix) {
        int columns = Math.toIntExact(matrix.shape().dim(1));
        return new Rows() {
            @Override
            public int rows() {
                return Math.toIntExact(matrix.shape().dim(0));
            }

            @Override
            public int columns() {
                return columns;
            }

            @Override
            public void read(int row, double[] into, int at) {
                System.arraycopy(matrix.values(), row * columns, into, at, columns);
            }
        };
    }

    /** The whole matrix, in memory. */
    default DoubleTensor toTensor() {
        double[] values = new double[Math.multiplyExact(rows(), columns())];
        IntStream.range(0, rows()).parallel().forEach(row -> read(row, values, row * columns()));
        return new DoubleTensor(Shape.of(rows(), columns()), values);
    }

    /** {@code M·x}: x [columns, k], the result [rows, k]. */
    default DoubleTensor times(DoubleTensor x) {
        int k = Math.toIntExact(x.shape().dim(1));
        double[] y = new double[Math.multiplyExact(rows(), k)];
        IntStream.range(0, rows()).parallel().forEach(row -> {
            double[] own = new double[columns()];
            read(row, own, 0);
            int column = 0;
            for (; column + 4 <= columns(); column += 4) {
                addFour(y, row * k, k, own, column, 1, x.values(), column * k);
            }
            for (; column < columns(); column++) {
                addOne(y, row * k, k, own[column], x.values(), column * k);
            }
        });
        return new DoubleTensor(Shape.of(rows(), k), y);
    }

    /** {@code Mᵀ·x}: x [rows, k], the result [columns, k]. */
    default DoubleTensor transposeTimes(DoubleTensor x) {
        int k = Math.toIntExact(x.shape().dim(1));
        double[] y = new double[Math.multiplyExact(columns(), k)];
        double[] tile = new double[Math.multiplyExact(TILE, columns())];
        for (int first = 0; first < rows(); first += TILE) {
            int from = first;
            int count = Math.min(TILE, rows() - first);
            IntStream.range(0, count).parallel().forEach(row -> read(from + row, tile, row * columns()));
            IntStream.range(0, (columns() + STRIP - 1) / STRIP).parallel().forEach(strip -> {
                for (int column = strip * STRIP; column < Math.min(columns(), (strip + 1) * STRIP); column++) {
                    int row = 0;
                    for (; row + 4 <= count; row += 4) {
                        addFour(
                                y,
                                column * k,
                                k,
                                tile,
                                row * columns() + column,
                                columns(),
                                x.values(),
                                (from + row) * k);
                    }
                    for (; row < count; row++) {
                        addOne(y, column * k, k, tile[row * columns() + column], x.values(), (from + row) * k);
                    }
                }
            });
        }
        return new DoubleTensor(Shape.of(columns(), k), y);
    }

    /** {@code y += f·x} for four neighbouring rows of x at once: y is loaded and stored a quarter as often. */
    private static void addFour(double[] y, int at, int k, double[] factors, int f, int step, double[] x, int from) {
        double f0 = factors[f];
        double f1 = factors[f + step];
        double f2 = factors[f + 2 * step];
        double f3 = factors[f + 3 * step];
        for (int i = 0; i < k; i++) {
            y[at + i] += f0 * x[from + i] + f1 * x[from + k + i] + f2 * x[from + 2 * k + i] + f3 * x[from + 3 * k + i];
        }
    }

    private static void addOne(double[] y, int at, int k, double factor, double[] x, int from) {
        for (int i = 0; i < k; i++) {
            y[at + i] += factor * x[from + i];
        }
    }

    /** {@code M − other}, row by row. */
    default Rows minus(Rows other) {
        Rows own = this;
        return new Rows() {
            @Override
            public int rows() {
                return own.rows();
            }

            @Override
            public int columns() {
                return own.columns();
            }

            @Override
            public void read(int row, double[] into, int at) {
                double[] less = new double[columns()];
                other.read(row, less, 0);
                own.read(row, into, at);
                for (int i = 0; i < less.length; i++) {
                    into[at + i] -= less[i];
                }
            }
        };
    }

    /** The largest absolute value of an element. */
    default double largest() {
        return IntStream.range(0, rows())
                .parallel()
                .mapToDouble(row -> {
                    double[] own = new double[columns()];
                    read(row, own, 0);
                    double largest = 0;
                    for (double value : own) {
                        largest = Math.max(largest, Math.abs(value));
                    }
                    return largest;
                })
                .max()
                .orElse(0);
    }

    /** {@code ‖M‖²}, the sum of its squared elements. */
    default double squaredNorm() {
        double[] sums = new double[rows()];
        IntStream.range(0, rows()).parallel().forEach(row -> {
            double[] own = new double[columns()];
            read(row, own, 0);
            for (double value : own) {
                sums[row] += value * value;
            }
        });
        double sum = 0;
        for (double part : sums) {
            sum += part;
        }
        return sum;
    }
}
