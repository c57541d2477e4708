package dev.adapt.merge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.safetensors.Dtype;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("The dtypes a merge writes")
class FloatsTest {
    private static final int PATTERNS = 1 << 16;

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    @DisplayName("every 16-bit pattern comes back as it was, and NaN stays NaN")
    void everyPatternComesBack(Floats dtype) {
        short[] patterns = new short[PATTERNS];
        for (int i = 0; i < PATTERNS; i++) {
            patterns[i] = (short) i;
        }
        float[] values = decoded(dtype, patterns);
        short[] back = encoded(dtype, values);
        for (int i = 0; i < PATTERNS; i++) {
            if (Float.isNaN(values[i])) {
                assertTrue(Float.isNaN(decoded(dtype, back[i])), "pattern " + Integer.toHexString(i));
            } else {
                assertEquals(patterns[i], back[i], "pattern " + Integer.toHexString(i));
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    @DisplayName("between two neighbours the nearer is taken, at the middle the even one")
    void roundsToNearestEven(Floats dtype) {
        for (int i = 0; i < PATTERNS - 1; i++) {
            float low = decoded(dtype, (short) i);
            float high = decoded(dtype, (short) (i + 1));
            if (!Float.isFinite(low) || !Float.isFinite(high) || Math.signum(low) * Math.signum(high) < 0) {
                continue;
            }
            float middle = (float) (((double) low + high) / 2);
            short even = (short) ((i & 1) == 0 ? i : i + 1);
            assertEquals(even, encoded(dtype, middle), "middle of " + low + " and " + high);
            // away from zero is the next pattern, whatever the sign
            float outwards = Math.nextAfter(middle, high);
            float inwards = Math.nextAfter(middle, low);
            assertEquals(
                    (short) (i + 1), encoded(dtype, outwards), "just beyond the middle of " + low + " and " + high);
            assertEquals((short) i, encoded(dtype, inwards), "just before the middle of " + low + " and " + high);
        }
    }

    @Test
    @DisplayName("what is too large becomes infinite, in both directions")
    void overflows() {
        for (Floats dtype : new Floats[] {Floats.F16, Floats.BF16}) {
            assertEquals(Float.POSITIVE_INFINITY, decoded(dtype, encoded(dtype, Float.MAX_VALUE)));
            assertEquals(Float.NEGATIVE_INFINITY, decoded(dtype, encoded(dtype, -Float.MAX_VALUE)));
            assertEquals(Float.POSITIVE_INFINITY, decoded(dtype, encoded(dtype, Float.POSITIVE_INFINITY)));
        }
    }

    @Test
    @DisplayName("a NaN whose payload is all in the low half stays NaN in bf16")
    void lowPayload() {
        float nan = Float.intBitsToFloat(0x7f800001);
        assertTrue(Float.isNaN(decoded(Floats.BF16, encoded(Floats.BF16, nan))));
    }

    @Test
    @DisplayName("float32 passes through bit for bit")
    void float32() {
        Random random = new Random(3);
        float[] values = new float[1000];
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(random.nextInt());
        }
        MemorySegment bytes = MemorySegment.ofArray(new byte[4 * values.length]);
        Floats.F32.encode(values, values.length, bytes);
        float[] back = new float[values.length];
        Floats.F32.decode(bytes, 0, back, back.length);
        for (int i = 0; i < values.length; i++) {
            assertEquals(Float.floatToRawIntBits(values[i]), Float.floatToRawIntBits(back[i]));
        }
    }

    @ParameterizedTest
    @EnumSource(Dtype.class)
    @DisplayName("other dtypes are not for merging")
    void onlyFloats(Dtype dtype) {
        assertEquals(dtype == Dtype.F32 || dtype == Dtype.F16 || dtype == Dtype.BF16, Floats.has(dtype));
    }

    private static float[] decoded(Floats dtype, short[] patterns) {
        float[] values = new float[patterns.length];
        dtype.decode(MemorySegment.ofArray(patterns), 0, values, values.length);
        return values;
    }

    private static float decoded(Floats dtype, short pattern) {
        return decoded(dtype, new short[] {pattern})[0];
    }

    private static short[] encoded(Floats dtype, float[] values) {
        short[] patterns = new short[values.length];
        dtype.encode(values, values.length, MemorySegment.ofArray(patterns));
        return patterns;
    }

    private static short encoded(Floats dtype, float value) {
        return encoded(dtype, new float[] {value})[0];
    }
}
