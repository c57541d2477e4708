package dev.adapt.formats.safetensors;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;

/**
 * One tensor of an open file: what the header says of it, and its bytes, little-endian and row-major, as a read-only
 * view of the mapping. It is valid as long as its file is open.
 *
 * @param file the file it lies in
 * @param position where its first byte lies in that file
 */
public record TensorView(Path file, long position, TensorInfo info, MemorySegment data) implements Tensor {
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** The tensor's name. */
    public String name() {
        return info.name();
    }

    /** The tensor's element type. */
    public Dtype dtype() {
        return info.dtype();
    }

    @Override
    public Shape shape() {
        return info.shape();
    }

    /**
     * All elements as float32; F64 is rounded to nearest even, the narrower types convert exactly.
     *
     * @throws FormatException if the dtype is not a floating-point type that converts
     */
    @Override
    public float[] toFloats() {
        FloatFormat format = dtype().floatFormat()
                .orElseThrow(() -> wrongDtype("floating-point numbers (F64, F32, F16, BF16, F8_E4M3 or F8_E5M2)"));
        float[] out = new float[elementsAsInt()];
        format.decode(data, 0, out, out.length);
        return out;
    }

    /**
     * All elements as integers.
     *
     * @throws FormatException if the dtype is neither I64 nor I32
     */
    public long[] toLongs() {
        long[] out = new long[elementsAsInt()];
        switch (dtype()) {
            case I64 -> MemorySegment.copy(data, LONG, 0, out, 0, out.length);
            case I32 -> {
                for (int i = 0; i < out.length; i++) {
                    out[i] = data.get(INT, 4L * i);
                }
            }
            default -> throw wrongDtype("integers (I64 or I32)");
        }
        return out;
    }

    /** The tensor's {@link TensorDigest}. */
    public String sha256() {
        TensorDigest digest = new TensorDigest(dtype().name(), shape());
        long step = 1 << 26;
        for (long at = 0; at < data.byteSize(); at += step) {
            digest.add(data.asSlice(at, Math.min(step, data.byteSize() - at)).asByteBuffer());
        }
        return digest.hex();
    }

    private int elementsAsInt() {
        long elements = shape().elements();
        if (elements > Integer.MAX_VALUE - 8) {
            throw new FormatException(
                    file, name(), "has " + elements + " elements, more than this command can hold in memory at once");
        }
        return (int) elements;
    }

    private FormatException wrongDtype(String expected) {
        return new FormatException(file, name(), "holds " + dtype() + ", expected " + expected);
    }
}
