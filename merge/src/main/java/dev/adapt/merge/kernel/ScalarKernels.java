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
    public void transform(InverseFourier.Pass pass, float[] re, float[] im, float[] toRe, float[] toIm) {
        int radix = pass.radix();
        int width = pass.width();
        float[] ownRe = new float[radix];
        float[] ownIm = new float[radix];
        for (int p = 0; p < pass.count(); p++) {
            for (int lane = 0; lane < width; lane++) {
                for (int j = 0; j < radix; j++) {
                    ownRe[j] = re[(p + pass.count() * j) * width + lane];
                    ownIm[j] = im[(p + pass.count() * j) * width + lane];
                }
                butterfly(pass, ownRe, ownIm);
                for (int k = 0; k < radix; k++) {
                    float cos = pass.factors()[2 * (p * radix + k)];
                    float sin = pass.factors()[2 * (p * radix + k) + 1];
                    int to = (p * radix + k) * width + lane;
                    toRe[to] = k == 0 ? ownRe[0] : ownRe[k] * cos - ownIm[k] * sin;
                    toIm[to] = k == 0 ? ownIm[0] : ownRe[k] * sin + ownIm[k] * cos;
                }
            }
        }
    }

    /** The transform of {@code radix} numbers, in place. */
    private static void butterfly(InverseFourier.Pass pass, float[] re, float[] im) {
        switch (pass.radix()) {
            case 2 -> {
                pair(re, 0, 1);
                pair(im, 0, 1);
            }
            case 4 -> {
                pair(re, 0, 2);
                pair(im, 0, 2);
                pair(re, 1, 3);
                pair(im, 1, 3);
                float turnedRe = -im[3];
                float turnedIm = re[3];
                pair(re, 0, 1);
                pair(im, 0, 1);
                float firstRe = re[2];
                float firstIm = im[2];
                re[3] = firstRe - turnedRe;
                im[3] = firstIm - turnedIm;
                re[2] = re[1];
                im[2] = im[1];
                re[1] = firstRe + turnedRe;
                im[1] = firstIm + turnedIm;
            }
            default -> odd(pass, re, im);
        }
    }

    private static void pair(float[] x, int first, int second) {
        float sum = x[first] + x[second];
        x[second] = x[first] - x[second];
        x[first] = sum;
    }

    /** Inputs j and radix - j in pairs: their sums meet the cosines, their differences the sines. */
    private static void odd(InverseFourier.Pass pass, float[] re, float[] im) {
        int radix = pass.radix();
        int half = radix / 2;
        float[] y = new float[2 * radix];
        for (int j = 1; j <= half; j++) {
            pair(re, j, radix - j);
            pair(im, j, radix - j);
        }
        for (int k = 0; k <= half; k++) {
            float evenRe = re[0];
            float evenIm = im[0];
            float oddRe = 0;
            float oddIm = 0;
            for (int j = 1; j <= half; j++) {
                float cos = pass.roots()[2 * (j * k % radix)];
                float sin = pass.roots()[2 * (j * k % radix) + 1];
                evenRe = Math.fma(re[j], cos, evenRe);
                evenIm = Math.fma(im[j], cos, evenIm);
                oddRe = Math.fma(re[radix - j], sin, oddRe);
                oddIm = Math.fma(im[radix - j], sin, oddIm);
            }
            y[2 * k] = k == 0 ? evenRe : evenRe - oddIm;
            y[2 * k + 1] = k == 0 ? evenIm : evenIm + oddRe;
            if (k > 0) {
                y[2 * (radix - k)] = evenRe + oddIm;
                y[2 * (radix - k) + 1] = evenIm - oddRe;
            }
        }
        for (int k = 0; k < radix; k++) {
            re[k] = y[2 * k];
            im[k] = y[2 * k + 1];
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
