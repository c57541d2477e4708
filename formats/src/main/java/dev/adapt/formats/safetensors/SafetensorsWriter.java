package dev.adapt.formats.safetensors;

import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;

/**
 * Writes a safetensors file whose header is known beforehand; tensors may come in any order and in pieces. Use it inside
 * an {@link OutputFile}, or through {@link #write}, so that a broken write leaves nothing behind.
 */
public final class SafetensorsWriter implements TensorTarget, AutoCloseable {
    private static final Set<Dtype> INTEGERS = Set.of(Dtype.U8, Dtype.I8, Dtype.I16, Dtype.I32, Dtype.I64);

    /** Values converted at a time. */
    private static final int CHUNK = 1 << 18;

    private final Path path;
    private final SafetensorsHeader header;
    private final FileChannel channel;

    private SafetensorsWriter(Path path, SafetensorsHeader header, FileChannel channel) {
        this.path = path;
        this.header = header;
        this.channel = channel;
    }

    /**
     * Creates the file and writes its header.
     *
     * @throws IOException if it exists already or cannot be written
     */
    public static SafetensorsWriter create(Path path, SafetensorsHeader header) throws IOException {
        FileChannel channel = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        SafetensorsWriter writer = new SafetensorsWriter(path, header, channel);
        try {
            writer.writeAt(0, ByteBuffer.wrap(header.encode()));
        } catch (IOException e) {
            channel.close();
            throw e;
        }
        return writer;
    }

    /**
     * Opens a file that is whole, to write over some of its tensors.
     *
     * @param header the file's own
     */
    @SuppressWarnings("MustBeClosedChecker") // closed with the writer
    public static SafetensorsWriter patch(Path path, SafetensorsHeader header) throws IOException {
        return new SafetensorsWriter(path, header, FileChannel.open(path, StandardOpenOption.WRITE));
    }

    /** Writes a whole file of float32 tensors atomically, in the order the format prefers; one that exists is replaced. */
    public static void write(Path path, Map<String, FloatTensor> tensors, Map<String, String> metadata)
            throws IOException {
        write(path, tensors, Dtype.F32, metadata);
    }

    /**
     * Writes a whole file atomically, each value rounded once to {@code dtype}, in the order the format prefers.
     *
     * @throws IllegalArgumentException if {@code dtype} is none of F64, F32, F16 and BF16
     */
    public static void write(Path path, Map<String, FloatTensor> tensors, Dtype dtype, Map<String, String> metadata)
            throws IOException {
        if (!dtype.floatFormat().map(FloatFormat::writable).orElse(false)) {
            throw new IllegalArgumentException(dtype + " cannot be written");
        }
        write(path, tensors, name -> dtype, metadata);
    }

    /**
     * The same, with a dtype for each tensor, which may also be one of integers.
     *
     * @throws IllegalArgumentException if one is none that {@link #write(TensorInfo, float[])} writes
     */
    public static void write(
            Path path, Map<String, FloatTensor> tensors, Function<String, Dtype> dtype, Map<String, String> metadata)
            throws IOException {
        List<TensorSpec> specs = tensors.entrySet().stream()
                .map(entry -> new TensorSpec(
                        entry.getKey(),
                        dtype.apply(entry.getKey()),
                        entry.getValue().shape()))
                .toList();
        SafetensorsHeader header = SafetensorsHeader.of(specs, metadata);
        try (OutputFile pending = Outputs.replacing().file(path)) {
            try (SafetensorsWriter writer = create(pending.path(), header)) {
                for (TensorInfo info : header.tensors()) {
                    writer.write(
                            info,
                            Objects.requireNonNull(tensors.get(info.name())).values());
                }
            }
            pending.commit();
        }
    }

    /** Writes a whole file atomically, asking for each tensor's little-endian bytes in the order of the data. */
    public static void write(Path path, SafetensorsHeader header, Function<TensorInfo, MemorySegment> bytesOf)
            throws IOException {
        try (OutputFile pending = Outputs.replacing().file(path)) {
            try (SafetensorsWriter writer = create(pending.path(), header)) {
                for (TensorInfo info : header.tensors()) {
                    writer.write(info, 0, bytesOf.apply(info));
                }
            }
            pending.commit();
        }
    }

    /**
     * Writes a whole tensor from float32 values, each rounded once to its dtype; whole numbers, where that is one of integers.
     *
     * @throws IllegalArgumentException if the dtype is none of F64, F32, F16, BF16, U8, I8, I16, I32 and I64, or the shape
     *     holds another number
     */
    public void write(TensorInfo tensor, float[] values) throws IOException {
        if (INTEGERS.contains(tensor.dtype())) {
            write(tensor, 0, integers(tensor, values));
            return;
        }
        FloatFormat format = tensor.dtype()
                .floatFormat()
                .filter(FloatFormat::writable)
                .orElseThrow(() ->
                        new IllegalArgumentException(tensor.name() + ": " + tensor.dtype() + " cannot be written"));
        if (values.length != tensor.shape().elements()) {
            throw new IllegalArgumentException(tensor.name() + ": " + values.length + " values for " + tensor.shape());
        }
        MemorySegment chunk = MemorySegment.ofArray(new byte[Math.min(CHUNK, values.length) * format.bytes()]);
        for (int from = 0; from < values.length; from += CHUNK) {
            int count = Math.min(CHUNK, values.length - from);
            format.encode(values, from, count, chunk);
            write(tensor, (long) from * format.bytes(), chunk.asSlice(0, (long) count * format.bytes()));
        }
    }

    private static MemorySegment integers(TensorInfo tensor, float[] values) {
        int width = tensor.dtype().bits() / 8;
        if (tensor.bytes() != (long) values.length * width) {
            throw new IllegalArgumentException(tensor.name() + ": " + values.length + " values for " + tensor.shape());
        }
        byte[] bytes = new byte[Math.multiplyExact(values.length, width)];
        for (int i = 0; i < values.length; i++) {
            long whole = (long) values[i];
            for (int at = 0; at < width; at++) {
                bytes[i * width + at] = (byte) (whole >> (8 * at));
            }
        }
        return MemorySegment.ofArray(bytes);
    }

    @Override
    public void write(TensorInfo tensor, long offset, MemorySegment bytes) throws IOException {
        if (offset < 0 || offset + bytes.byteSize() > tensor.bytes()) {
            throw new IllegalArgumentException(tensor.name() + ": bytes " + offset + " to "
                    + (offset + bytes.byteSize()) + " do not lie in its " + tensor.bytes());
        }
        long at = header.dataOffset() + tensor.begin() + offset;
        long step = 1 << 30;
        for (long done = 0; done < bytes.byteSize(); done += step) {
            writeAt(
                    at + done,
                    bytes.asSlice(done, Math.min(step, bytes.byteSize() - done)).asByteBuffer());
        }
    }

    /**
     * {@inheritDoc}
     *
     * <p>They go straight through the kernel. It uses the channel's position and so lets one thread in at a time.
     */
    @Override
    public synchronized void transfer(FileChannel source, long position, long count, long offset) throws IOException {
        channel.position(header.dataOffset() + offset);
        for (long done = 0; done < count; ) {
            long moved = transferSome(source, position + done, count - done);
            if (moved <= 0) {
                throw new IOException("the source ended " + (count - done) + " bytes early");
            }
            done += moved;
        }
    }

    private long transferSome(FileChannel source, long position, long count) throws IOException {
        try {
            return source.transferTo(position, count, channel);
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    /** Has the disk take what was written so far; safe while others write. */
    public void flush() throws IOException {
        try {
            channel.force(false);
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    private void writeAt(long at, ByteBuffer bytes) throws IOException {
        try {
            WholeIo.write(channel, bytes, at);
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    /** The system's reason says what is the matter, and not where. */
    private IOException unwritable(IOException cause) {
        return OutputFile.unwritable(
                path, new IOException(cause.getMessage() + "; it needs " + header.fileBytes() + " bytes", cause));
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
