package dev.adapt.merge;

import java.lang.foreign.MemorySegment;

/** The kernels in plain Java. */
final class ScalarKernels implements Kernels {
    private static final int LANES = 8;
    private static final int WIDTH = 2 * LANES;

    @Override
    public Panels panels(Floats dtype) {
        return new Panels(LANES, false);
    }

    @Override
    public void multiply(
            float[] left, int leftAt, float[] right, int rightAt, int depth, boolean more, float[] sums, int at) {
        for (int row = 0; row < Panels.ROWS; row++) {
            for (int lane = 0; lane < WIDTH; lane++) {
                float sum = more ? sums[at + row * WIDTH + lane] : 0;
                for (int k = 0; k < depth; k++) {
                    sum = Math.fma(left[leftAt + k * Panels.ROWS + row], right[rightAt + k * WIDTH + lane], sum);
                }
                sums[at + row * WIDTH + lane] = sum;
            }
        }
    }

    @Override
    public void add(Floats dtype, Product sums, int rows, int columns, MemorySegment weight, MemorySegment out) {
        for (int row = 0; row < rows; row++) {
            add(dtype, sums, row, sums.first() * WIDTH, Math.min(columns, sums.end() * WIDTH), columns, weight, out);
        }
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
            MemorySegment out) {
        for (int column = from; column < to; column++) {
            dtype.add(weight, (long) row * columns + column, sums.get(row, column), out);
        }
    }
}
