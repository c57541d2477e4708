package dev.adapt.formats.safetensors;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/**
 * One tensor of an open file: what the header says of it, and its bytes, little-endian and row-major, as a read-only
 * view of the mapping. It is valid as long as its file is open.
 *
 * @param file the file it lies in
 * @param position where its first byte lies in that file
 * @param data its bytes, mapped: those that were touched count as this process's memory
 * @param channel the open file, to read from without touching the mapping
 */
public record TensorView(Path file, long position, TensorInfo info, MemorySegment data, FileChannel channel)
        implements Tensor {
    /** Elements converted at a time, and bytes digested. */
    private static final int CHUNK = 1 << 18;

    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** The tensor's name. */
    public String name() {
        return info.name();
    }

    /** The same tensor under another name. */
    public TensorView named(String name) {
        TensorInfo renamed = new TensorInfo(name, info.dtype(), info.shape(), info.begin(), info.end());
        return new TensorView(file, position, renamed, data, channel);
    }

    /**
     * Some of its elements as a tensor.
     *
     * @param from the first of them
     */
    public TensorView part(String name, long from, Shape shape) {
        long width = info.dtype().bits() / Byte.SIZE;
        long bytes = shape.elements() * width;
        long begin = info.begin() + from * width;
        return new TensorView(
                file,
                position + from * width,
                new TensorInfo(name, info.dtype(), shape, begin, begin + bytes),
                data.asSlice(from * width, bytes),
                channel);
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
        format();
        float[] out = new float[elementsAsInt()];
        widen(MemorySegment.ofArray(out));
        return out;
    }

    /**
     * Writes all elements as {@link #toFloats} gives them, a part at a time: no second copy of the tensor is made.
     *
     * @param into 4 bytes for each element, which get its float32 in the machine's byte order
     * @throws FormatException if the dtype is not a floating-point type that converts
     */
    public void widen(MemorySegment into) {
        FloatFormat format = format();
        long elements = shape().elements();
        if (into.byteSize() != elements * Float.BYTES) {
            throw new IllegalArgumentException(shape() + " does not fill " + into.byteSize() + " bytes as float32");
        }
        int step = (int) Math.min(elements, CHUNK / format.bytes());
        byte[] bytes = new byte[step * format.bytes()];
        float[] floats = new float[step];
        for (long done = 0; done < elements; done += step) {
            int count = (int) Math.min(step, elements - done);
            MemorySegment own = MemorySegment.ofArray(bytes).asSlice(0, (long) count * format.bytes());
            copyUnchecked(done * format.bytes(), own);
            format.decode(own, 0, floats, count);
            MemorySegment.copy(floats, 0, into, ValueLayout.JAVA_FLOAT_UNALIGNED, done * Float.BYTES, count);
        }
    }

    /**
     * All elements as integers.
     *
     * @throws FormatException if the dtype is none of I64, I32, I16 and U8
     */
    public long[] toLongs() {
        int width = switch (dtype()) {
            case I64 -> Long.BYTES;
            case I32 -> Integer.BYTES;
            case I16 -> Short.BYTES;
            case U8 -> Byte.BYTES;
            default -> throw wrongDtype("integers (I64, I32, I16 or U8)");
        };
        long[] out = new long[elementsAsInt()];
        int step = Math.min(out.length, CHUNK / width);
        MemorySegment bytes = MemorySegment.ofArray(new byte[step * width]);
        for (int done = 0; done < out.length; done += step) {
            int count = Math.min(step, out.length - done);
            copyUnchecked((long) done * width, bytes.asSlice(0, (long) count * width));
            for (int i = 0; i < count; i++) {
                out[done + i] = switch (width) {
                    case Long.BYTES -> bytes.get(LONG, 8L * i);
                    case Integer.BYTES -> bytes.get(INT, 4L * i);
                    case Short.BYTES -> bytes.get(SHORT, 2L * i);
                    default -> bytes.get(ValueLayout.JAVA_BYTE, i) & 0xff;
                };
            }
        }
        return out;
    }

    /**
     * This tensor, once it is known to hold numbers that {@link #toFloats} and {@link #read} convert.
     *
     * @throws FormatException if it does not
     */
    public TensorView requireFloats() {
        format();
        return this;
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        FloatFormat format = format();
        int step = Math.min(count, CHUNK / format.bytes());
        float[] floats = new float[step];
        MemorySegment bytes = MemorySegment.ofArray(new byte[step * format.bytes()]);
        for (int done = 0; done < count; done += step) {
            int own = Math.min(step, count - done);
            copyUnchecked((from + done) * format.bytes(), bytes.asSlice(0, (long) own * format.bytes()));
            format.decode(bytes, 0, floats, own);
            widen(floats, into, at + done, own);
        }
    }

    // a method of its own: C2 compiles the loop alone, and not all of the reading around it
    private static void widen(float[] floats, double[] into, int at, int count) {
        for (int i = 0; i < count; i++) {
            into[at + i] = floats[i];
        }
    }

    /**
     * Copies bytes of the tensor, which leaves the mapping untouched: no page of it becomes this process's memory.
     *
     * @param offset the first of them, from the tensor's start
     * @throws FormatException if the file became shorter since it was opened
     */
    public void copy(long offset, MemorySegment into) throws IOException {
        ByteBuffer buffer = into.asByteBuffer();
        while (buffer.hasRemaining()) {
            if (channel.read(buffer, position + offset + buffer.position()) < 0) {
                throw shortened();
            }
        }
    }

    /** That the file ends where it had bytes of the tensor when it was opened. */
    public FormatException shortened() {
        return new FormatException(file, name(), "is gone: the file became shorter while it was read");
    }

    private void copyUnchecked(long offset, MemorySegment into) {
        try {
            copy(offset, into);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The tensor's {@link TensorDigest}. */
    public String sha256() {
        TensorDigest digest = new TensorDigest(dtype().name(), shape());
        byte[] bytes = new byte[(int) Math.min(CHUNK, data.byteSize())];
        for (long at = 0; at < data.byteSize(); at += CHUNK) {
            int count = (int) Math.min(CHUNK, data.byteSize() - at);
            copyUnchecked(at, MemorySegment.ofArray(bytes).asSlice(0, count));
            digest.add(ByteBuffer.wrap(bytes, 0, count));
        }
        return digest.hex();
    }

    private FloatFormat format() {
        return dtype().floatFormat()
                .orElseThrow(() -> wrongDtype("floating-point numbers (F64, F32, F16, BF16, F8_E4M3 or F8_E5M2)"));
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
