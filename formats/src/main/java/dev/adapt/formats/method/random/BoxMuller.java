package dev.adapt.formats.method.random;

/**
 * Box and Muller's transform of 16 uniform numbers as torch computes it with AVX2: logarithm, sine and cosine are the
 * polynomials of Moshier's Cephes library in float32.
 *
 * @param rounding of each product that is added to something
 */
record BoxMuller(float deviation, Rounding rounding) {
    private static final float[] LOG = {
        0.070376836f,
        -0.1151461f,
        0.116769984f,
        -0.12420141f,
        0.14249323f,
        -0.16668057f,
        0.20000714f,
        -0.24999994f,
        0.3333333f
    };

    /** Replaces 16 uniform numbers by normal ones. */
    void transform(float[] values, int from) {
        for (int i = from; i < from + 8; i++) {
            float length = (float) Math.sqrt(-2f * log(1 - values[i]));
            float angle = 6.2831855f * values[i + 8];
            values[i] = add(length * cos(angle), deviation, 0);
            values[i + 8] = add(length * sin(angle), deviation, 0);
        }
    }

    /** {@code a·b + c}. */
    private float add(float a, float b, float c) {
        return rounding == Rounding.FMA ? Math.fma(a, b, c) : a * b + c;
    }

    private float log(float x) {
        int bits = Float.floatToRawIntBits(Math.max(x, Float.MIN_NORMAL));
        float exponent = (bits >>> 23) - 127 + 1f;
        // the mantissa in [0.5, 1)
        float mantissa = Float.intBitsToFloat((bits & 0x807fffff) | 0x3f000000);
        if (mantissa < 0.70710677f) {
            exponent -= 1;
            mantissa = mantissa - 1 + mantissa;
        } else {
            mantissa -= 1;
        }
        float square = mantissa * mantissa;
        float sum = LOG[0];
        for (int i = 1; i < LOG.length; i++) {
            sum = add(sum, mantissa, LOG[i]);
        }
        float y = add(sum * mantissa, square, exponent * -0.00021219444f);
        y = add(-0.5f, square, y);
        return add(exponent, 0.6933594f, mantissa + y);
    }

    private float sin(float x) {
        int octant = octant(x);
        float sign = (octant & 4) == 0 ? 1 : -1;
        return sign * ((octant & 2) == 0 ? sinOf(reduced(x, octant)) : cosOf(reduced(x, octant)));
    }

    private float cos(float x) {
        int octant = octant(x);
        float sign = ((octant - 2) & 4) == 0 ? -1 : 1;
        return sign * ((octant & 2) == 0 ? cosOf(reduced(x, octant)) : sinOf(reduced(x, octant)));
    }

    /** The multiple of π/4 next to x, made even. */
    private static int octant(float x) {
        return ((int) (x * 1.2732395f) + 1) & ~1;
    }

    /** x less that multiple of π/4, which is taken away in three parts. */
    private float reduced(float x, int octant) {
        float y = octant;
        return add(y, -3.774895e-8f, add(y, -0.00024187565f, add(y, -0.78515625f, x)));
    }

    private float sinOf(float x) {
        float square = x * x;
        float y = add(add(-0.00019515296f, square, 0.008332161f), square, -0.16666655f);
        return add(y * square, x, x);
    }

    private float cosOf(float x) {
        float square = x * x;
        float y = add(add(2.4433157e-5f, square, -0.0013887316f), square, 0.041666646f);
        return add(y * square, square, -0.5f * square) + 1;
    }
}
