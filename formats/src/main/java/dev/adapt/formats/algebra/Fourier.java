package dev.adapt.formats.algebra;

import java.util.Arrays;

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

    /**
     * Rows of the real part of the inverse transform of a matrix that holds {@code values} at some places and 0 elsewhere,
     * divided by its number of elements; several values at one place are added.
     */
    static double[] realInverse(double[] values, Frequencies at, int from, int count) {
        int columns = at.columns();
        Fourier across = new Fourier(columns);
        double[] result = new double[Math.multiplyExact(count, columns)];
        double[] re = new double[columns];
        double[] im = new double[columns];
        // rows in pairs that do not depend on where the first one is
        for (int row = from - from % 2; row < from + count; row += 2) {
            Arrays.fill(re, 0);
            Arrays.fill(im, 0);
            addRows(values, at, row, re, im);
            across.transform(re, im);
            if (row >= from) {
                System.arraycopy(re, 0, result, (row - from) * columns, columns);
            }
            if (row + 1 < from + count) {
                System.arraycopy(im, 0, result, (row + 1 - from) * columns, columns);
            }
        }
        return result;
    }

    /**
     * The spectra of two rows as one: {@code x + i·y}, whose transform has the first row as its real part and the second as its
     * imaginary one. The real part of a transform is that of the Hermitian part of its spectrum.
     */
    private static void addRows(double[] values, Frequencies at, int row, double[] re, double[] im) {
        double scale = 0.5 / ((double) at.rows() * at.columns());
        for (int i = 0; i < values.length; i++) {
            double value = values[i] * scale;
            int column = at.columnAt()[i];
            int mirror = (at.columns() - column) % at.columns();
            double first = angle((long) row * at.rowAt()[i], at.rows());
            double second = angle((row + 1L) * at.rowAt()[i], at.rows());
            re[column] += value * (Math.cos(first) - Math.sin(second));
            im[column] += value * (Math.sin(first) + Math.cos(second));
            re[mirror] += value * (Math.cos(first) + Math.sin(second));
            im[mirror] += value * (Math.cos(second) - Math.sin(first));
        }
    }

    private static double angle(long parts, int of) {
        return 2 * Math.PI * (parts % of) / of;
    }
}
