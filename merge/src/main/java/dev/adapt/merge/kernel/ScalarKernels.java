package dev.adapt.merge.kernel;

import java.lang.foreign.MemorySegment;

/** The kernels in plain Java. */
public final class ScalarKernels implements Kernels {
    private static final int LANES = 8;
    private static final int WIDTH = 2 * LANES;

    @Override
    public Panels panels(Floats dtype) {
        return new Panels(LANES, false);
    }

    @Override
    public void multiply(Factors factors, float[] left, int row, int rows, int k, int depth, Product sums) {
        int rank = factors.rank();
        for (int panel = sums.first(); panel < sums.end(); panel++) {
            int rightAt = (panel * rank + k) * WIDTH;
            for (int i = 0; i < rows; i++) {
                int leftAt = (row + i) / Panels.ROWS * Panels.ROWS * rank + k * Panels.ROWS + i % Panels.ROWS;
                multiply(left, leftAt, factors.right(), rightAt, depth, k > 0, sums.values(), sums.at(i, panel));
            }
        }
    }

    /** One row of a block, whose elements are {@link Panels#ROWS} apart in the left factor. */
    private static void multiply(
            float[] left, int leftAt, float[] right, int rightAt, int depth, boolean more, float[] sums, int at) {
        for (int lane = 0; lane < WIDTH; lane++) {
            float sum = more ? sums[at + lane] : 0;
            for (int k = 0; k < depth; k++) {
                sum = Math.fma(left[leftAt + k * Panels.ROWS], right[rightAt + k * WIDTH + lane], sum);
            }
            sums[at + lane] = sum;
        }
    }

    @Override
    public void add(
            Floats dtype,
            Product sums,
            int rows,
            int columns,
            MemorySegment weight,
            MemorySegment out,
            NonFinite found) {
        int to = Math.min(columns, sums.end() * WIDTH);
        for (int row = 0; row < rows; row++) {
            add(dtype, sums, row, sums.first() * WIDTH, to, columns, weight, out, found);
        }
    }

    @Override
    public void multiply(
            float[] left,
            int leftAt,
            int leftStep,
            int rows,
            float[] right,
            int rightAt,
            int depth,
            float[] y,
            int at,
            int step,
            int columns) {
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                int across = rightAt + column / WIDTH * WIDTH * depth + column % WIDTH;
                float sum = 0;
                for (int k = 0; k < depth; k++) {
                    sum = Math.fma(left[leftAt + row * leftStep + k], right[across + k * WIDTH], sum);
                }
                y[at + row * step + column] = sum;
            }
        }
    }

    @Override
    public void combine(Operation operation, float[] a, int aAt, float[] b, int bAt, float[] y, int at, int count) {
        for (int i = 0; i < count; i++) {
            y[at + i] = operation.of(a[aAt + i], b[bAt + i]);
        }
    }

    @Override
    public void combine(Operation operation, float[] a, int aAt, float b, float[] y, int at, int count) {
        for (int i = 0; i < count; i++) {
            y[at + i] = operation.of(a[aAt + i], b);
        }
    }

    @Override
    public void affine(float[] x, int from, float scale, float shift, float[] y, int at, int count) {
        for (int i = 0; i < count; i++) {
            y[at + i] = x[from + i] * scale + shift;
        }
    }

    @Override
    public void decode(Floats dtype, MemorySegment stored, float[] into, int count) {
        dtype.decode(stored, 0, into, count);
    }

    @Override
    public boolean areHeld(Floats dtype, float[] values, int count) {
        boolean held = true;
        for (int i = 0; i < count; i++) {
            held &= dtype.holds(values[i]);
        }
        return held;
    }

    @Override
    public void encode(Floats dtype, float[] values, int count, MemorySegment out) {
        dtype.encode(values, 0, count, out);
    }

    /** Adds the columns {@code from} to {@code to} of a row; the vector kernels end their rows with it. */
    static void add(
            Floats dtype,
            Product sums,
            int row,
            int from,
            int to,
            int columns,
            MemorySegment weight,
            MemorySegment out,
            NonFinite found) {
        for (int column = from; column < to; column++) {
            dtype.add(weight, (long) row * columns + column, sums.get(row, column), out, found);
        }
    }
}
