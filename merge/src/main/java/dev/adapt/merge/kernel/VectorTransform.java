package dev.adapt.merge.kernel;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The passes of a Fourier transform on the Vector API; the launcher has this class compiled as it has {@link VectorKernels}. */
final class VectorTransform {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = FLOATS.length();

    private VectorTransform() {}

    /** {@link Kernels#transform}. */
    static void run(InverseFourier.Pass pass, float[] re, float[] im, float[] toRe, float[] toIm) {
        switch (pass.radix()) {
            case 2 -> pairs(pass, re, im, toRe, toIm);
            case 4 -> fours(pass, re, im, toRe, toIm);
            default -> odd(pass, re, im, toRe, toIm);
        }
    }

    private static void pairs(InverseFourier.Pass pass, float[] re, float[] im, float[] toRe, float[] toIm) {
        int width = pass.width();
        int second = pass.count() * width;
        for (int p = 0; p < pass.count(); p++) {
            float cos = pass.factors()[4 * p + 2];
            float sin = pass.factors()[4 * p + 3];
            for (int i = 0; i < width; i += LANES) {
                int from = p * width + i;
                int to = 2 * p * width + i;
                FloatVector re0 = floats(re, from);
                FloatVector im0 = floats(im, from);
                FloatVector re1 = floats(re, from + second);
                FloatVector im1 = floats(im, from + second);
                re0.add(re1).intoArray(toRe, to);
                im0.add(im1).intoArray(toIm, to);
                turned(re0.sub(re1), im0.sub(im1), cos, sin, toRe, toIm, to + width);
            }
        }
    }

    /** Eight vectors of input and as many of output, a step of 4 in place of two of 2: half as many passes through memory. */
    private static void fours(InverseFourier.Pass pass, float[] re, float[] im, float[] toRe, float[] toIm) {
        int width = pass.width();
        int step = pass.count() * width;
        float[] factors = pass.factors();
        for (int p = 0; p < pass.count(); p++) {
            for (int i = 0; i < width; i += LANES) {
                int from = p * width + i;
                int to = 4 * p * width + i;
                FloatVector re0 = floats(re, from);
                FloatVector im0 = floats(im, from);
                FloatVector re1 = floats(re, from + step);
                FloatVector im1 = floats(im, from + step);
                FloatVector re2 = floats(re, from + 2 * step);
                FloatVector im2 = floats(im, from + 2 * step);
                FloatVector re3 = floats(re, from + 3 * step);
                FloatVector im3 = floats(im, from + 3 * step);
                FloatVector evenRe = re0.add(re2);
                FloatVector evenIm = im0.add(im2);
                FloatVector oddRe = re1.add(re3);
                FloatVector oddIm = im1.add(im3);
                evenRe.add(oddRe).intoArray(toRe, to);
                evenIm.add(oddIm).intoArray(toIm, to);
                int at = 8 * p;
                FloatVector halfRe = evenRe.sub(oddRe);
                FloatVector halfIm = evenIm.sub(oddIm);
                turned(halfRe, halfIm, factors[at + 4], factors[at + 5], toRe, toIm, to + 2 * width);
                FloatVector differenceRe = re0.sub(re2);
                FloatVector differenceIm = im0.sub(im2);
                FloatVector otherRe = re1.sub(re3);
                FloatVector otherIm = im1.sub(im3);
                FloatVector firstRe = differenceRe.sub(otherIm);
                FloatVector firstIm = differenceIm.add(otherRe);
                turned(firstRe, firstIm, factors[at + 2], factors[at + 3], toRe, toIm, to + width);
                FloatVector lastRe = differenceRe.add(otherIm);
                FloatVector lastIm = differenceIm.sub(otherRe);
                turned(lastRe, lastIm, factors[at + 6], factors[at + 7], toRe, toIm, to + 3 * width);
            }
        }
    }

    private static void turned(
            FloatVector re, FloatVector im, float cos, float sin, float[] toRe, float[] toIm, int to) {
        re.mul(cos).sub(im.mul(sin)).intoArray(toRe, to);
        re.mul(sin).add(im.mul(cos)).intoArray(toIm, to);
    }

    /** Inputs j and radix - j in pairs: their sums meet the cosines, their differences the sines. */
    private static void odd(InverseFourier.Pass pass, float[] re, float[] im, float[] toRe, float[] toIm) {
        int radix = pass.radix();
        int half = radix / 2;
        int width = pass.width();
        int step = pass.count() * width;
        float[] halves = new float[4 * (half + 1) * LANES];
        for (int p = 0; p < pass.count(); p++) {
            for (int i = 0; i < width; i += LANES) {
                int from = p * width + i;
                for (int j = 1; j <= half; j++) {
                    int mirror = from + (radix - j) * step;
                    FloatVector firstRe = floats(re, from + j * step);
                    FloatVector firstIm = floats(im, from + j * step);
                    FloatVector secondRe = floats(re, mirror);
                    FloatVector secondIm = floats(im, mirror);
                    firstRe.add(secondRe).intoArray(halves, 4 * j * LANES);
                    firstIm.add(secondIm).intoArray(halves, (4 * j + 1) * LANES);
                    firstRe.sub(secondRe).intoArray(halves, (4 * j + 2) * LANES);
                    firstIm.sub(secondIm).intoArray(halves, (4 * j + 3) * LANES);
                }
                for (int k = 0; k <= half; k++) {
                    oddOutputs(pass, p, k, floats(re, from), floats(im, from), halves, toRe, toIm, i);
                }
            }
        }
    }

    /** The outputs k and radix - k. */
    private static void oddOutputs(
            InverseFourier.Pass pass,
            int p,
            int k,
            FloatVector re,
            FloatVector im,
            float[] halves,
            float[] toRe,
            float[] toIm,
            int lane) {
        int radix = pass.radix();
        float[] roots = pass.roots();
        FloatVector evenRe = re;
        FloatVector evenIm = im;
        FloatVector oddRe = FloatVector.zero(FLOATS);
        FloatVector oddIm = oddRe;
        for (int j = 1; j <= radix / 2; j++) {
            int root = 2 * (j * k % radix);
            FloatVector cos = FloatVector.broadcast(FLOATS, roots[root]);
            FloatVector sin = FloatVector.broadcast(FLOATS, roots[root + 1]);
            evenRe = floats(halves, 4 * j * LANES).fma(cos, evenRe);
            evenIm = floats(halves, (4 * j + 1) * LANES).fma(cos, evenIm);
            oddRe = floats(halves, (4 * j + 2) * LANES).fma(sin, oddRe);
            oddIm = floats(halves, (4 * j + 3) * LANES).fma(sin, oddIm);
        }
        int to = p * radix * pass.width() + lane;
        if (k == 0) {
            evenRe.intoArray(toRe, to);
            evenIm.intoArray(toIm, to);
            return;
        }
        int at = 2 * (p * radix + k);
        int mirror = 2 * (p * radix + radix - k);
        float[] factors = pass.factors();
        int width = pass.width();
        turned(evenRe.sub(oddIm), evenIm.add(oddRe), factors[at], factors[at + 1], toRe, toIm, to + k * width);
        turned(
                evenRe.add(oddIm),
                evenIm.sub(oddRe),
                factors[mirror],
                factors[mirror + 1],
                toRe,
                toIm,
                to + (radix - k) * width);
    }

    private static FloatVector floats(float[] values, int at) {
        return FloatVector.fromArray(FLOATS, values, at);
    }
}
