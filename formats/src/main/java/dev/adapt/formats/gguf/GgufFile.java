package dev.adapt.formats.gguf;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.GitLfs;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.tensor.FloatFormat;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Optional;
import java.util.SequencedMap;

/** An open GGUF file: its header, checked, and its data, read where they are asked for. */
public final class GgufFile implements AutoCloseable {
    /** Pointers of Git LFS are shorter. */
    private static final int MOST_POINTER = 1024;

    private final Path path;
    private final FileChannel channel;
    private final GgufHeader header;
    private final SequencedMap<String, GgufTensor> byName = new LinkedHashMap<>();

    private GgufFile(Path path, FileChannel channel, GgufHeader header) {
        this.path = path;
        this.channel = channel;
        this.header = header;
        header.tensors().forEach(tensor -> byName.put(tensor.name(), tensor));
    }

    /** Whether a path is named as GGUF files are. */
    public static boolean isNamed(Path path) {
        return path.toString().toLowerCase(Locale.ROOT).endsWith(".gguf");
    }

    /**
     * Opens a file; this costs what its header costs.
     *
     * @throws FormatException if it breaks a {@link GgufRule}
     * @throws IOException if it cannot be read
     */
    @SuppressWarnings("MustBeClosedChecker") // closed with the file it is of
    public static GgufFile open(Path path) throws IOException {
        if (Files.exists(path) && !Files.isRegularFile(path)) {
            throw new FormatException(path, "is no regular file, expected a GGUF file");
        }
        FileChannel channel = InputFile.named(path).open();
        try {
            if (channel.size() < MOST_POINTER) {
                ByteBuffer whole = ByteBuffer.allocate((int) channel.size());
                WholeIo.read(channel, whole, 0);
                GitLfs.refusePointer(path, whole.array());
            }
            return new GgufFile(path, channel, GgufReader.read(path, channel));
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /** The file's path, as it was given. */
    public Path path() {
        return path;
    }

    /** The file's header. */
    public GgufHeader header() {
        return header;
    }

    /** The tensor of that name, if the file has it. */
    public Optional<GgufTensor> find(String name) {
        return Optional.ofNullable(byName.get(name));
    }

    /**
     * Copies bytes of a tensor.
     *
     * @param offset the first of them, from the tensor's start
     */
    void copy(GgufTensor tensor, long offset, MemorySegment into) throws IOException {
        if (!WholeIo.read(channel, into.asByteBuffer(), header.dataOffset() + tensor.begin() + offset)) {
            throw new EOFException(path + ": became shorter while it was read");
        }
    }

    /**
     * Elements as float32.
     *
     * @param from the first of them, in row-major order; of Q8_0 a multiple of 32, as {@code count}
     * @throws FormatException if the type is none of F32, F16, BF16, F64 and Q8_0
     */
    public void read(GgufTensor tensor, long from, float[] into, int count) throws IOException {
        MemorySegment bytes =
                MemorySegment.ofArray(new byte[Math.toIntExact(tensor.type().bytes(count))]);
        if (tensor.type() == GgmlType.Q8_0) {
            copy(tensor, tensor.type().bytes(from), bytes);
            Q8Blocks.decode(bytes, into, count);
            return;
        }
        FloatFormat format = tensor.type()
                .floatFormat()
                .orElseThrow(() -> new FormatException(
                        path,
                        tensor.name(),
                        "holds " + tensor.type()
                                + ", expected F32, F16, BF16 or Q8_0; convert the file with llama.cpp's"
                                + " llama-quantize --allow-requantize to one of these"));
        copy(tensor, from * format.bytes(), bytes);
        format.decode(bytes, 0, into, count);
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
