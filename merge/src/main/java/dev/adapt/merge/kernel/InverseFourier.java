package dev.adapt.merge.kernel;

import dev.adapt.formats.algebra.Frequencies;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The real part of the inverse Fourier transform of a sparse spectrum, some rows at a time, in float32. The transform of the
 * columns is a sum of few waves, taken from a table. That of the rows is Stockham's: its passes write what they read in
 * another order, so that nothing is reordered at the end. Two real rows are one complex sequence, and {@link #LANES} sequences
 * lie side by side, so that vectors go across sequences and each has the same arithmetic, whatever the width of a vector.
 */
public final class InverseFourier {
    /** Sequences that are transformed together: as many as the widest vector has floats. */
    static final int LANES = 16;

    /** The largest odd factor of a length, whose passes take as many steps for each element. */
    private static final int MOST_RADIX = 127;

    private final Frequencies at;
    private final List<Pass> passes;
    private final float[] waves;

    /**
     * One pass: it makes {@code radix} sequences of each, {@code count} long.
     *
     * @param width floats of the elements that share their factors
     * @param factors {@code exp(2πi·p·k/(radix·count))} at [p, k], as cosine and sine
     * @param roots {@code exp(2πi·j/radix)} at j, as cosine and sine
     */
    @SuppressWarnings("ArrayRecordComponent")
    public record Pass(int radix, int count, int width, float[] factors, float[] roots) {}

    private InverseFourier(Frequencies at, List<Pass> passes) {
        this.at = at;
        this.passes = passes;
        this.waves = roots(at.rows());
    }

    /** A transform, or none if the number of columns has a large prime factor. */
    public static Optional<InverseFourier> of(Frequencies at) {
        List<Integer> radices = radices(at.columns());
        if (radices.stream().anyMatch(radix -> radix > MOST_RADIX)) {
            return Optional.empty();
        }
        List<Pass> passes = new ArrayList<>();
        int length = at.columns();
        int width = LANES;
        for (int radix : radices) {
            passes.add(pass(radix, length / radix, width));
            length /= radix;
            width *= radix;
        }
        return Optional.of(new InverseFourier(at, passes));
    }

    /** Factors of a length: 4 as often as it divides, then 2, then odd primes. */
    private static List<Integer> radices(int length) {
        List<Integer> radices = new ArrayList<>();
        int rest = length;
        for (int radix = 4; rest > 1; radix = radix == 4 ? 2 : radix == 2 ? 3 : radix + 2) {
            for (; rest % radix == 0; rest /= radix) {
                radices.add(radix);
            }
            if (radix > MOST_RADIX && rest > 1) {
                radices.add(rest);
                rest = 1;
            }
        }
        return radices;
    }

    private static Pass pass(int radix, int count, int width) {
        float[] all = roots(radix * count);
        float[] factors = new float[2 * radix * count];
        for (int p = 0; p < count; p++) {
            for (int k = 0; k < radix; k++) {
                factors[2 * (p * radix + k)] = all[2 * (p * k)];
                factors[2 * (p * radix + k) + 1] = all[2 * (p * k) + 1];
            }
        }
        return new Pass(radix, count, width, factors, roots(radix));
    }

    private static float[] roots(int count) {
        float[] roots = new float[2 * count];
        for (int i = 0; i < count; i++) {
            double angle = 2 * Math.PI * i / count;
            roots[2 * i] = (float) Math.cos(angle);
            roots[2 * i + 1] = (float) Math.sin(angle);
        }
        return roots;
    }

    /**
     * Rows of the transform, divided by its number of elements, [count, columns].
     *
     * @param values of the entries
     */
    public Strided rows(Kernels kernels, float[] values, int from, int count, Scratch scratch) {
        int columns = at.columns();
        Strided result = scratch.rowMajor(count, columns);
        int size = Math.multiplyExact(columns, LANES);
        float[] re = scratch.take(size);
        float[] im = scratch.take(size);
        float[] nextRe = scratch.take(size);
        float[] nextIm = scratch.take(size);
        // pairs do not depend on where the first row is
        for (int row = from - from % 2; row < from + count; row += 2 * LANES) {
            int pairs = Math.min(LANES, Math.ceilDiv(from + count - row, 2));
            Arrays.fill(re, 0, size, 0);
            Arrays.fill(im, 0, size, 0);
            addRows(values, row, pairs, re, im);
            for (Pass pass : passes) {
                kernels.transform(pass, re, im, nextRe, nextIm);
                float[] kept = re;
                re = nextRe;
                nextRe = kept;
                kept = im;
                im = nextIm;
                nextIm = kept;
            }
            copy(re, row, pairs, result.values(), from, count);
            copy(im, row + 1, pairs, result.values(), from, count);
        }
        return result;
    }

    /**
     * The spectra of pairs of rows, each as one, {@code x + i·y}: its transform has the first row as its real part and the second
     * as its imaginary one. The real part of a transform is that of the Hermitian part of its spectrum.
     */
    private void addRows(float[] values, int row, int pairs, float[] re, float[] im) {
        int rows = at.rows();
        double scale = 0.5 / ((double) rows * at.columns());
        for (int i = 0; i < at.rowAt().length; i++) {
            float value = (float) (values[i] * scale);
            int frequency = at.rowAt()[i];
            int step = (int) (2L * frequency % rows);
            int first = (int) ((long) row * frequency % rows);
            int column = at.columnAt()[i] * LANES;
            int mirror = (at.columns() - at.columnAt()[i]) % at.columns() * LANES;
            for (int lane = 0; lane < pairs; lane++) {
                int second = first + frequency;
                second = second < rows ? second : second - rows;
                float cos = waves[2 * first];
                float sin = waves[2 * first + 1];
                float otherCos = waves[2 * second];
                float otherSin = waves[2 * second + 1];
                re[column + lane] += value * (cos - otherSin);
                im[column + lane] += value * (sin + otherCos);
                re[mirror + lane] += value * (cos + otherSin);
                im[mirror + lane] += value * (otherCos - sin);
                first += step;
                first = first < rows ? first : first - rows;
            }
        }
    }

    /** Copies every second row from {@code row} on, a cache line of each at a time. */
    private void copy(float[] lanes, int row, int pairs, float[] y, int from, int count) {
        int columns = at.columns();
        for (int column = 0; column < columns; column += LANES) {
            int some = Math.min(LANES, columns - column);
            for (int lane = 0; lane < pairs; lane++) {
                int own = row + 2 * lane - from;
                if (own < 0 || own >= count) {
                    continue;
                }
                int to = own * columns + column;
                int first = column * LANES + lane;
                for (int i = 0; i < some; i++) {
                    y[to + i] = lanes[first + i * LANES];
                }
            }
        }
    }
}
