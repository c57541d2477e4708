package dev.adapt.merge.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.formats.safetensors.Dtype;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("The dtypes a merge writes")
class FloatsTest {
    @ParameterizedTest
    @EnumSource(Floats.class)
    @DisplayName("a run of elements from the middle comes back at the start")
    void runs(Floats dtype) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[4 * dtype.bytes()]);
        dtype.encode(new float[] {0, 1, 2, 3, 4, 5}, 0, 4, bytes);
        float[] two = new float[2];
        dtype.decode(bytes, 2, two, 2);
        assertArrayEquals(new float[] {2, 3}, two);
    }

    @ParameterizedTest
    @EnumSource(Dtype.class)
    @DisplayName("other dtypes are not for merging")
    void onlyFloats(Dtype dtype) {
        assertEquals(
                dtype == Dtype.F64 || dtype == Dtype.F32 || dtype == Dtype.F16 || dtype == Dtype.BF16,
                Floats.has(dtype));
    }
}
