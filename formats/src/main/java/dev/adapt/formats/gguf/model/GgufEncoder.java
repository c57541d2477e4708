package dev.adapt.formats.gguf.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgmlType;
import dev.adapt.formats.gguf.Q8Blocks;
import dev.adapt.formats.tensor.FloatFormat;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/** Makes elements of a GGUF tensor from float32, in a buffer that is used again; for one thread. */
final class GgufEncoder {
    private final GgmlType type;
    private final Q8Blocks blocks = new Q8Blocks();
    private byte[] encoded = {};

    GgufEncoder(GgmlType type) {
        this.type = type;
    }

    /**
     * Encodes values.
     *
     * @param count whole blocks
     * @param file where they come from, for errors
     * @param name of the tensor they are of
     * @return their bytes, valid until the next call
     * @throws FormatException if a value becomes infinite, or a value to be quantized is not finite
     */
    MemorySegment encode(float[] values, int count, Path file, String name) {
        int size = Math.toIntExact(type.bytes(count));
        if (encoded.length < size) {
            encoded = new byte[size];
        }
        MemorySegment bytes = MemorySegment.ofArray(encoded).asSlice(0, size);
        if (type == GgmlType.Q8_0) {
            if (!blocks.encode(values, count, bytes)) {
                throw new FormatException(
                        file,
                        name,
                        "holds values that are infinite, NaN or too large, which Q8_0 cannot hold; take f32");
            }
        } else {
            FloatFormat format = type.floatFormat().orElseThrow();
            format.encode(values, 0, count, bytes);
            requireFinite(values, count, bytes, format, file, name);
        }
        return bytes;
    }

    private static void requireFinite(
            float[] values, int count, MemorySegment bytes, FloatFormat format, Path file, String name) {
        if (format == FloatFormat.F32) {
            return;
        }
        float limit = format == FloatFormat.F16 ? 65_504 : Float.MAX_VALUE;
        boolean large = false;
        for (int i = 0; i < count; i++) {
            large |= Math.abs(values[i]) > limit;
        }
        float[] stored = new float[large ? count : 0];
        format.decode(bytes, 0, stored, stored.length);
        for (int i = 0; i < stored.length; i++) {
            if (Float.isInfinite(stored[i]) && !Float.isInfinite(values[i])) {
                throw new FormatException(
                        file, name, "holds " + values[i] + ", larger than " + format + " can hold; take bf16 or f32");
            }
        }
    }
}
