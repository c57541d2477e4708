package dev.adapt.formats.method.random;

/**
 * Box and Muller's transform of 16 uniform numbers as torch computes it with AVX2: logarithm, sine and cosine are the
 * polynomials of Moshier's Cephes library in float32.
 *
 * @param rounding of each product that is added to something
 */
@SuppressWarnings("FloatingPointLiteralPrecision") // the coefficients as Cephes has them
record BoxMuller(float deviation, Rounding rounding) {
    private static final float[] LOG = {
        7.0376836292E-2f,
        -1.1514610310E-1f,
        1.1676998740E-1f,
        -1.2420140846E-1f,
        1.4249322787E-1f,
        -1.6668057665E-1f,
        2.0000714765E-1f,
        -2.4999993993E-1f,
        3.3333331174E-1f
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
        if (mantissa < 0.707106781186547524f) {
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
        float y = add(sum * mantissa, square, exponent * -2.12194440e-4f);
        y = add(-0.5f, square, y);
        return add(exponent, 0.693359375f, mantissa + y);
    }

    private float sin(float x) {
        int octant = octant(x);
        float sign = (octant & 4) == 0 ? 1 : -1;
        return sign * ((octant & 2) == 0 ? sinOf(reduced(x, octant)) : cosOf(reduced(x, octant)));
    }

    private float cos(float x) {
        int octant = octant(x);
        float sign = (octant - 2 & 4) == 0 ? -1 : 1;
        return sign * ((octant & 2) == 0 ? cosOf(reduced(x, octant)) : sinOf(reduced(x, octant)));
    }

    /** The multiple of π/4 next to x, made even. */
    private static int octant(float x) {
        return (int) (x * 1.27323954473516f) + 1 & ~1;
    }

    /** x less that multiple of π/4, which is taken away in three parts. */
    private float reduced(float x, int octant) {
        float y = octant;
        return add(y, -3.77489497744594108e-8f, add(y, -2.4187564849853515625e-4f, add(y, -0.78515625f, x)));
    }

    private float sinOf(float x) {
        float square = x * x;
        float y = add(add(-1.9515295891E-4f, square, 8.3321608736E-3f), square, -1.6666654611E-1f);
        return add(y * square, x, x);
    }

    private float cosOf(float x) {
        float square = x * x;
        float y = add(add(2.443315711809948E-005f, square, -1.388731625493765E-003f), square, 4.166664568298827E-002f);
        return add(y * square, square, -0.5f * square) + 1;
    }
}
