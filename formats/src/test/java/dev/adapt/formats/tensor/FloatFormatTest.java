package dev.adapt.formats.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("Floating-point formats to float32 and back")
class FloatFormatTest {
    private static final int PATTERNS = 1 << 16;

    @ParameterizedTest
    @CsvSource({"F16, 5, 10", "BF16, 8, 7"})
    @DisplayName("every 16-bit pattern is the number that IEEE 754's definition makes of it")
    void sixteenBits(FloatFormat format, int exponentBits, int fractionBits) {
        float[] values = decoded(format, allShorts());
        for (int i = 0; i < PATTERNS; i++) {
            assertSame(meaning(i, 16, exponentBits, fractionBits), values[i], i);
        }
    }

    @Test
    @DisplayName("every pattern of F8_E5M2 is the number that IEEE 754's definition makes of it")
    void e5m2() {
        float[] values = decoded(FloatFormat.F8_E5M2, allBytes());
        for (int i = 0; i < values.length; i++) {
            assertSame(meaning(i, 8, 5, 2), values[i], i);
        }
    }

    @Test
    @DisplayName("every pattern of F8_E4M3: no infinity, one NaN of each sign, 448 the largest")
    void e4m3() {
        float[] values = decoded(FloatFormat.F8_E4M3, allBytes());
        for (int i = 0; i < values.length; i++) {
            boolean nan = (i & 0x7f) == 0x7f;
            // the top exponent is an ordinary one: the definition with room for one more exponent bit
            int exponent = (i >> 3) & 0xf;
            double fraction = (i & 7) / 8.0;
            double magnitude = exponent == 0 ? fraction * 0x1p-6 : (1 + fraction) * Math.pow(2, exponent - 7);
            assertSame(nan ? Float.NaN : (float) ((i & 0x80) == 0 ? magnitude : -magnitude), values[i], i);
        }
        assertEquals(448f, values[0x7e]);
        assertEquals(-448f, values[0xfe]);
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    @DisplayName("every 16-bit pattern comes back as it was; NaN stays NaN")
    void everyPatternComesBack(FloatFormat format) {
        float[] values = decoded(format, allShorts());
        short[] back = encoded(format, values);
        for (int i = 0; i < PATTERNS; i++) {
            if (Float.isNaN(values[i])) {
                assertTrue(Float.isNaN(decoded(format, new short[] {back[i]})[0]), Integer.toHexString(i));
            } else {
                assertEquals((short) i, back[i], Integer.toHexString(i));
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    @DisplayName("at every rounding boundary: below the middle the lower, at it the even one, above it the upper")
    void boundaries(FloatFormat format) {
        float[] values = decoded(format, allShorts());
        for (int i = 0; i < PATTERNS - 1; i++) {
            float low = values[i];
            float high = values[i + 1];
            if (!Float.isFinite(low) || Float.isNaN(high) || Math.signum(low) * Math.signum(high) < 0) {
                continue;
            }
            // past the largest value lies the one that the next exponent would have
            double next = Float.isInfinite(high) ? 2.0 * low - values[i - 1] : high;
            float middle = (float) ((low + next) / 2);
            short even = (short) ((i & 1) == 0 ? i : i + 1);
            // away from zero is the next pattern, whatever the sign
            float beyond = Math.nextAfter(middle, next);
            float before = Math.nextAfter(middle, low);
            short[] rounded = encoded(format, new float[] {before, middle, beyond});
            assertEquals((short) i, rounded[0], "just before the middle of " + low + " and " + next);
            assertEquals(even, rounded[1], "the middle of " + low + " and " + next);
            assertEquals((short) (i + 1), rounded[2], "just beyond the middle of " + low + " and " + next);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    @DisplayName("a random float32 becomes none farther away than its neighbours")
    void samples(FloatFormat format) {
        Random random = new Random(16);
        float[] values = new float[1 << 18];
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(random.nextInt());
        }
        short[] patterns = encoded(format, values);
        float[] rounded = decoded(format, patterns);
        for (int i = 0; i < values.length; i++) {
            if (Float.isNaN(values[i])) {
                assertTrue(Float.isNaN(rounded[i]));
            } else if (Float.isFinite(rounded[i])) {
                double error = Math.abs((double) rounded[i] - values[i]);
                float[] beside = decoded(format, new short[] {(short) (patterns[i] + 1), (short) (patterns[i] - 1)});
                for (float other : beside) {
                    assertTrue(
                            !Float.isFinite(other) || error <= Math.abs((double) other - values[i]),
                            () -> "a nearer one was left out");
                }
            } else {
                assertEquals(Math.signum(values[i]), Math.signum(rounded[i]));
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F64", "F32", "F16", "BF16"})
    @DisplayName("infinities, signed zeros, NaN with any payload, and what is too large for the narrow ones")
    void specials(FloatFormat format) {
        float lowPayload = Float.intBitsToFloat(0x7f800001);
        float negativeNaN = Float.intBitsToFloat(0xffc00001);
        float[] values = {
            Float.POSITIVE_INFINITY,
            Float.NEGATIVE_INFINITY,
            0f,
            -0f,
            Float.NaN,
            lowPayload,
            negativeNaN,
            Float.MAX_VALUE
        };
        MemorySegment bytes = MemorySegment.ofArray(new byte[values.length * format.bytes()]);
        format.encode(values, 0, values.length, bytes);
        float[] back = new float[values.length];
        format.decode(bytes, 0, back, back.length);
        for (int i = 0; i < values.length - 1; i++) {
            assertSame(values[i], back[i], i);
        }
        boolean narrow = format == FloatFormat.F16 || format == FloatFormat.BF16;
        assertEquals(narrow ? Float.POSITIVE_INFINITY : Float.MAX_VALUE, back[values.length - 1]);
    }

    @Test
    @DisplayName("float32 passes through F32 and F64 bit for bit, and F64 is rounded to the nearest float32")
    void wide() {
        Random random = new Random(3);
        float[] values = new float[10_000];
        double[] doubles = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(random.nextInt() & 0xbf7fffff);
            // halfway to the next float32: a tie, which the even one gets
            doubles[i] = ((double) values[i] + Math.nextUp(values[i])) / 2;
        }
        for (FloatFormat format : new FloatFormat[] {FloatFormat.F32, FloatFormat.F64}) {
            MemorySegment bytes = MemorySegment.ofArray(new byte[values.length * format.bytes()]);
            format.encode(values, 0, values.length, bytes);
            float[] back = new float[values.length];
            format.decode(bytes, 0, back, back.length);
            for (int i = 0; i < values.length; i++) {
                assertEquals(Float.floatToRawIntBits(values[i]), Float.floatToRawIntBits(back[i]));
            }
        }
        float[] rounded = new float[doubles.length];
        FloatFormat.F64.decode(MemorySegment.ofArray(doubles), 0, rounded, rounded.length);
        for (int i = 0; i < values.length; i++) {
            boolean even = (Float.floatToRawIntBits(values[i]) & 1) == 0;
            assertEquals(even ? values[i] : Math.nextUp(values[i]), rounded[i]);
        }
    }

    @Test
    @DisplayName("a run of elements from the middle, and to the middle")
    void runs() {
        short[] patterns = {0x3f80, 0x4000, 0x4040, 0x4080};
        float[] two = new float[2];
        FloatFormat.BF16.decode(MemorySegment.ofArray(patterns), 1, two, 2);
        assertEquals(2f, two[0]);
        assertEquals(3f, two[1]);
        short[] one = new short[1];
        FloatFormat.BF16.encode(two, 1, 1, MemorySegment.ofArray(one));
        assertEquals(0x4040, one[0]);
    }

    @ParameterizedTest
    @EnumSource(names = {"F8_E4M3", "F8_E5M2"})
    @DisplayName("the formats of 8 bits are not written")
    void readOnly(FloatFormat format) {
        MemorySegment target = MemorySegment.ofArray(new byte[1]);
        assertThrows(IllegalArgumentException.class, () -> format.encode(new float[1], 0, 1, target));
    }

    private static float meaning(int pattern, int bits, int exponentBits, int fractionBits) {
        int bias = (1 << (exponentBits - 1)) - 1;
        int exponent = (pattern >> fractionBits) & ((1 << exponentBits) - 1);
        double fraction = (pattern & ((1 << fractionBits) - 1)) / (double) (1 << fractionBits);
        double sign = (pattern >> (bits - 1)) == 0 ? 1 : -1;
        if (exponent == (1 << exponentBits) - 1) {
            return fraction == 0 ? (float) (sign * Double.POSITIVE_INFINITY) : Float.NaN;
        }
        double magnitude =
                exponent == 0 ? fraction * Math.pow(2, 1 - bias) : (1 + fraction) * Math.pow(2, exponent - bias);
        return (float) (sign * magnitude);
    }

    /** Equal, signs of zeros included; any NaN equals any other. */
    private static void assertSame(float expected, float found, int pattern) {
        assertEquals(
                Float.floatToIntBits(expected),
                Float.floatToIntBits(found),
                () -> "pattern " + Integer.toHexString(pattern) + ": expected " + expected + ", found " + found);
    }

    private static short[] allShorts() {
        short[] patterns = new short[PATTERNS];
        for (int i = 0; i < PATTERNS; i++) {
            patterns[i] = (short) i;
        }
        return patterns;
    }

    private static byte[] allBytes() {
        byte[] patterns = new byte[256];
        IntStream.range(0, 256).forEach(i -> patterns[i] = (byte) i);
        return patterns;
    }

    private static float[] decoded(FloatFormat format, short[] patterns) {
        float[] values = new float[patterns.length];
        format.decode(MemorySegment.ofArray(patterns), 0, values, values.length);
        return values;
    }

    private static float[] decoded(FloatFormat format, byte[] patterns) {
        float[] values = new float[patterns.length];
        format.decode(MemorySegment.ofArray(patterns), 0, values, values.length);
        return values;
    }

    private static short[] encoded(FloatFormat format, float[] values) {
        short[] patterns = new short[values.length];
        format.encode(values, 0, values.length, MemorySegment.ofArray(patterns));
        return patterns;
    }
}
