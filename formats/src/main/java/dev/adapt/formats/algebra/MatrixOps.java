package dev.adapt.formats.algebra;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * The operations of which changes of weights are made: the part of {@link Ops} that an adapter method may use, and all
 * that an interpreter needs to merge.
 *
 * <p>Two-operand arithmetic broadcasts as NumPy does. Axes count from 0.
 *
 * @param <T> a tensor, or the promise of one
 */
public interface MatrixOps<T> {
    /** A tensor with these values, the same in every run. */
    T constant(FloatTensor values);

    /** A constant vector of integers, such as row numbers for {@link #embedding}. */
    T integers(long... values);

    /** The matrix product of the last two axes; leading axes broadcast. */
    T matMul(T left, T right);

    /** The axes of x in the order given. */
    T transpose(T x, int... axes);

    /** The same elements in another shape; 0 keeps the dimension at that axis, -1 (once) takes what is left. */
    T reshape(T x, long... dims);

    /** Elements {@code from} (inclusive) to {@code to} (exclusive) along an axis, which keeps its place. */
    T slice(T x, int axis, long from, long to);

    /**
     * Some columns of a matrix: {@code first}, and every {@code step}th after it.
     *
     * @param x of a number of columns that {@code step} divides
     */
    default T every(T x, int first, int step) {
        return step == 1 ? x : reshape(slice(reshape(x, 0, -1, step), 2, first, first + 1L), 0, -1);
    }

    T add(T left, T right);

    T mul(T left, T right);

    T div(T left, T right);

    /** {@code x·scale + shift}, element by element. */
    T affine(T x, double scale, double shift);

    /** Tensors joined along an axis. */
    T concat(int axis, List<T> parts);

    /** The sum along an axis, which stays with size 1. */
    T sum(T x, int axis);

    /** {@code √x}, element by element. */
    T sqrt(T x);

    T cos(T angles);

    T sin(T angles);

    /** Softmax over the last axis. */
    T softmax(T x);

    /** {@code f(x)}, element by element. */
    T activation(T x, Activation f);

    /** Rows of table [n, width] at integer ids [..]; the result is [.., width]. */
    T embedding(T table, T ids);

    /**
     * Values at places of a matrix that is 0 elsewhere: the part of it in a region, [region.rows, region.columns]. Several
     * values at one place are added.
     *
     * @param values [n]
     * @param places [2, n], the row and the column of each; no gradient flows to them
     */
    T scatter(T values, T places, Region region);

    /**
     * The real part of the inverse discrete Fourier transform of a matrix [rows, columns] that holds values at some places
     * and 0 elsewhere, {@code x[p, q] = Σₖ values[k]·cos(2π(p·rowAt[k]/rows + q·columnAt[k]/columns)) / (rows·columns)}: the
     * part of it in a region, [region.rows, region.columns].
     *
     * <p>Here by a product with the cosines and sines of all places, which is differentiable; merging has a fast one.
     *
     * @param values [n]
     */
    default T inverseFourier(T values, Frequencies at, Region region) {
        T scaled = affine(values, 1.0 / ((double) at.rows() * at.columns()), 0);
        T cosines = mul(waves(at.rowAt(), at.rows(), 0, region.row(), region.rows()), scaled);
        T sines = mul(waves(at.rowAt(), at.rows(), 1, region.row(), region.rows()), scaled);
        T even = transpose(waves(at.columnAt(), at.columns(), 0, region.column(), region.columns()), 1, 0);
        T odd = transpose(waves(at.columnAt(), at.columns(), 1, region.column(), region.columns()), 1, 0);
        return subtract(matMul(cosines, even), matMul(sines, odd));
    }

    private T waves(int[] frequencies, int size, int quarter, int from, int count) {
        float[] wave = new float[size];
        for (int i = 0; i < size; i++) {
            double angle = 2 * Math.PI * i / size;
            wave[i] = (float) (quarter == 0 ? Math.cos(angle) : Math.sin(angle));
        }
        float[] values = new float[Math.multiplyExact(count, frequencies.length)];
        for (int i = 0; i < values.length; i++) {
            long place = from + (long) i / frequencies.length;
            values[i] = wave[(int) (place * frequencies[i % frequencies.length] % size)];
        }
        return constant(new FloatTensor(Shape.of(count, frequencies.length), values));
    }

    /**
     * The product of a matrix and the one that has blocks on its diagonal and is 0 elsewhere.
     *
     * @param x [rows, count·n]
     * @param blocks [count, n, n]
     */
    default T matMulBlocks(T x, T blocks, int rows, int count, int n) {
        T byBlock = transpose(reshape(x, rows, count, n), 1, 0, 2);
        return reshape(transpose(matMul(byBlock, blocks), 1, 0, 2), rows, (long) count * n);
    }

    /** While training, x as a constant, through which no gradient flows; otherwise x itself. */
    default T stopGradient(T x) {
        return x;
    }

    /**
     * A tensor that is computed in float64 from the values of another, and is a constant to the gradient: what no sequence of
     * the other operations gives, such as singular vectors.
     *
     * @throws UnsupportedOperationException where there are no values yet, as in a graph that is written
     */
    default T computed(T x, UnaryOperator<DoubleTensor> function) {
        throw new UnsupportedOperationException("values are not known here");
    }

    /** A constant vector of one value. */
    default T constant(float value) {
        return constant(new FloatTensor(Shape.of(1), new float[] {value}));
    }

    /** {@code left - right}. */
    default T subtract(T left, T right) {
        return add(left, affine(right, -1, 0));
    }

    /** {@code count} identity matrices, [count, n, n]. */
    default T identity(int count, int n) {
        float[] values = new float[count * n * n];
        for (int i = 0; i < count * n; i++) {
            values[i * n + i % n] = 1;
        }
        return constant(new FloatTensor(Shape.of(count, n, n), values));
    }

    /**
     * The inverse of each of several matrices whose symmetric part is positive definite, by Gauss-Jordan elimination, which
     * needs no pivoting for those.
     *
     * @param x [count, n, n]
     */
    default T inverse(T x, int count, int n) {
        T augmented = concat(2, List.of(x, identity(count, n)));
        for (int k = 0; k < n; k++) {
            float[] unit = new float[n];
            unit[k] = 1;
            T row = slice(augmented, 1, k, k + 1L);
            T scaled = div(row, slice(row, 2, k, k + 1L));
            T column = subtract(slice(augmented, 2, k, k + 1L), constant(new FloatTensor(Shape.of(1, n, 1), unit)));
            augmented = subtract(augmented, mul(column, scaled));
        }
        return slice(augmented, 2, n, 2L * n);
    }

    /** Matrices on the diagonal of a larger one: [count, a, b] to [count·a, count·b]. */
    default T blockDiagonal(T blocks, int count, int a, int b) {
        List<T> rows = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            List<T> row = new ArrayList<>();
            if (i > 0) {
                row.add(constant(new FloatTensor(Shape.of(a, (long) i * b), new float[a * i * b])));
            }
            row.add(reshape(slice(blocks, 0, i, i + 1L), a, b));
            if (i < count - 1) {
                int after = (count - 1 - i) * b;
                row.add(constant(new FloatTensor(Shape.of(a, after), new float[a * after])));
            }
            rows.add(row.size() == 1 ? row.getFirst() : concat(1, row));
        }
        return rows.size() == 1 ? rows.getFirst() : concat(0, rows);
    }
}
