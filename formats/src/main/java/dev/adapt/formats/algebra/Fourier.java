package dev.adapt.formats.algebra;

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;

/** Discrete Fourier transforms in float64, of any length in n·log n steps. */
final class Fourier {
    private final int size;
    private final double[] cosines;
    private final double[] sines;
    private final Chirp chirp;

    /** What a length that is no power of two needs: transforms of one that is, and their factors. */
    @SuppressWarnings("ArrayRecordComponent")
    private record Chirp(Fourier longer, double[] cosines, double[] sines, double[] kernelRe, double[] kernelIm) {}

    /** Transforms of length {@code size}. */
    Fourier(int size) {
        this.size = size;
        this.cosines = new double[size];
        this.sines = new double[size];
        for (int i = 0; i < size; i++) {
            cosines[i] = Math.cos(2 * Math.PI * i / size);
            sines[i] = Math.sin(2 * Math.PI * i / size);
        }
        this.chirp = Integer.bitCount(size) == 1 ? new Chirp(this, cosines, sines, cosines, sines) : chirp(size);
    }

    /** Bluestein: {@code jk = (j² + k² - (k - j)²)/2} makes a transform a convolution. */
    private static Chirp chirp(int size) {
        Fourier longer = new Fourier(Integer.highestOneBit(2 * size - 1) << 1);
        double[] cosines = new double[size];
        double[] sines = new double[size];
        double[] re = new double[longer.size];
        double[] im = new double[longer.size];
        for (int i = 0; i < size; i++) {
            double angle = Math.PI * ((long) i * i % (2L * size)) / size;
            cosines[i] = Math.cos(angle);
            sines[i] = Math.sin(angle);
            int mirror = i == 0 ? 0 : longer.size - i;
            re[i] = re[mirror] = cosines[i];
            im[i] = im[mirror] = -sines[i];
        }
        longer.powerOfTwo(re, im);
        return new Chirp(longer, cosines, sines, re, im);
    }

    /** {@code x[k] ← Σⱼ x[j]·exp(2πi·jk/size)}, in place. */
    void transform(double[] re, double[] im) {
        if (chirp.longer() == this) {
            powerOfTwo(re, im);
            return;
        }
        Fourier longer = chirp.longer();
        double[] xRe = new double[longer.size];
        double[] xIm = new double[longer.size];
        for (int i = 0; i < size; i++) {
            xRe[i] = re[i] * chirp.cosines()[i] - im[i] * chirp.sines()[i];
            xIm[i] = re[i] * chirp.sines()[i] + im[i] * chirp.cosines()[i];
        }
        longer.powerOfTwo(xRe, xIm);
        for (int i = 0; i < longer.size; i++) {
            double productRe = xRe[i] * chirp.kernelRe()[i] - xIm[i] * chirp.kernelIm()[i];
            double productIm = xRe[i] * chirp.kernelIm()[i] + xIm[i] * chirp.kernelRe()[i];
            // the transform of the conjugate is the conjugate of the inverse transform
            xRe[i] = productRe;
            xIm[i] = -productIm;
        }
        longer.powerOfTwo(xRe, xIm);
        for (int i = 0; i < size; i++) {
            double ownRe = xRe[i] / longer.size;
            double ownIm = -xIm[i] / longer.size;
            re[i] = ownRe * chirp.cosines()[i] - ownIm * chirp.sines()[i];
            im[i] = ownRe * chirp.sines()[i] + ownIm * chirp.cosines()[i];
        }
    }

    /** Cooley and Tukey's, in place. */
    private void powerOfTwo(double[] re, double[] im) {
        for (int i = 1, j = 0; i < size; i++) {
            int bit = size >> 1;
            for (; (j & bit) != 0; bit >>= 1) {
                j ^= bit;
            }
            j ^= bit;
            if (i < j) {
                double keptRe = re[i];
                re[i] = re[j];
                re[j] = keptRe;
                double keptIm = im[i];
                im[i] = im[j];
                im[j] = keptIm;
            }
        }
        for (int half = 1; half < size; half <<= 1) {
            int step = size / (2 * half);
            for (int start = 0; start < size; start += 2 * half) {
                for (int k = 0; k < half; k++) {
                    double cos = cosines[k * step];
                    double sin = sines[k * step];
                    int low = start + k;
                    int high = low + half;
                    double turnedRe = re[high] * cos - im[high] * sin;
                    double turnedIm = re[high] * sin + im[high] * cos;
                    re[high] = re[low] - turnedRe;
                    im[high] = im[low] - turnedIm;
                    re[low] += turnedRe;
                    im[low] += turnedIm;
                }
            }
        }
    }

    /** One column of a half-transformed spectrum. */
    @SuppressWarnings("ArrayRecordComponent")
    private record Column(double[] re, double[] im) {}

    /**
     * The real part of the inverse transform of a matrix [rows, columns] that holds {@code values} at some places and 0
     * elsewhere, divided by rows·columns; several values at one place are added.
     */
    static double[] realInverse(double[] values, int[] rowAt, int[] columnAt, int rows, int columns) {
        // the real part is what the Hermitian half of the spectrum gives, of which half the columns tell all
        Map<Integer, Column> spectrum = new TreeMap<>();
        double scale = 0.5 / ((double) rows * columns);
        for (int i = 0; i < values.length; i++) {
            add(spectrum, rowAt[i], columnAt[i], columns, values[i] * scale, rows);
            add(
                    spectrum,
                    (rows - rowAt[i]) % rows,
                    (columns - columnAt[i]) % columns,
                    columns,
                    values[i] * scale,
                    rows);
        }
        Fourier down = new Fourier(rows);
        spectrum.values().forEach(column -> down.transform(column.re(), column.im()));
        Fourier across = new Fourier(columns);
        double[] result = new double[Math.multiplyExact(rows, columns)];
        double[] re = new double[columns];
        double[] im = new double[columns];
        for (int row = 0; row < rows; row += 2) {
            Arrays.fill(re, 0);
            Arrays.fill(im, 0);
            int other = Math.min(row + 1, rows - 1);
            for (Map.Entry<Integer, Column> entry : spectrum.entrySet()) {
                fill(entry.getKey(), entry.getValue(), row, other, re, im);
            }
            across.transform(re, im);
            System.arraycopy(re, 0, result, row * columns, columns);
            if (other > row) {
                System.arraycopy(im, 0, result, other * columns, columns);
            }
        }
        return result;
    }

    private static void add(Map<Integer, Column> spectrum, int row, int column, int columns, double value, int rows) {
        if (column <= columns / 2) {
            spectrum.computeIfAbsent(column, absent -> new Column(new double[rows], new double[rows]))
                    .re()[row] += value;
        }
    }

    /** Two rows whose transforms are real, as one: the first is its real part, the second its imaginary one. */
    private static void fill(int column, Column from, int row, int other, double[] re, double[] im) {
        re[column] = from.re()[row] - from.im()[other];
        im[column] = from.im()[row] + from.re()[other];
        int mirror = (re.length - column) % re.length;
        if (mirror != column) {
            re[mirror] = from.re()[row] + from.im()[other];
            im[mirror] = from.re()[other] - from.im()[row];
        }
    }
}
