package dev.adapt.verify.runner;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The outputs of forms that ran, so that they can be compared once the forms are closed. The first of them are kept in
 * memory, what does not fit there in a temporary file, which is gone when this is closed or the process ends. For one
 * thread.
 */
public final class RecordedOutputs implements AutoCloseable {
    /** Bytes of outputs that are kept in memory, of all forms together. */
    private static final long MEMORY = 256L << 20;

    /** Bytes written and read at a time. */
    private static final int CHUNK = 1 << 18;

    private final Optional<Path> folder;
    private long free;
    private Optional<Overflow> overflow = Optional.empty();

    /** Nothing is recorded yet. */
    public RecordedOutputs() {
        this(MEMORY, Optional.empty());
    }

    /**
     * The same with another limit.
     *
     * @param memory bytes of outputs that are kept in memory
     * @param folder of the temporary file; that of the system where it is empty
     */
    RecordedOutputs(long memory, Optional<Path> folder) {
        this.free = memory;
        this.folder = folder;
    }

    /** An output as it is kept: values that float32 holds exactly take 4 bytes, others 8. */
    private sealed interface Kept {
        record InMemory(Tensor values) implements Kept {}

        record InFile(Shape shape, long position, boolean narrow) implements Kept {}
    }

    /** The temporary file, written from its start to {@code end}. */
    private static final class Overflow {
        private final Path path;
        private final FileChannel channel;
        private long end;

        Overflow(Path path, FileChannel channel) {
            this.path = path;
            this.channel = channel;
        }
    }

    /**
     * Runs a form on all batches.
     *
     * @param wanted the outputs to record; where there are none, the form is not run
     * @return a run that gives them again, bit for bit, for these very batches and as long as this is open
     * @throws FileSystemException if the temporary file cannot be written
     */
    public Runner.Run of(Runner.Run form, List<Map<String, Tensor>> batches, Set<String> wanted) throws IOException {
        Set<String> names = Set.copyOf(wanted);
        IdentityHashMap<Map<String, Tensor>, Map<String, Kept>> known = new IdentityHashMap<>();
        for (Map<String, Tensor> batch : names.isEmpty() ? List.<Map<String, Tensor>>of() : batches) {
            Map<String, Kept> kept = new LinkedHashMap<>();
            for (Map.Entry<String, DoubleTensor> output :
                    form.outputs(batch, names).entrySet()) {
                if (names.contains(output.getKey())) {
                    kept.put(output.getKey(), keep(output.getValue()));
                }
            }
            known.put(batch, kept);
        }
        return (batch, asked) -> replay(names, known, batch, asked);
    }

    private Map<String, DoubleTensor> replay(
            Set<String> recorded,
            IdentityHashMap<Map<String, Tensor>, Map<String, Kept>> known,
            Map<String, Tensor> batch,
            Set<String> asked) {
        Map<String, DoubleTensor> outputs = new LinkedHashMap<>();
        if (asked.isEmpty()) {
            return outputs;
        }
        Map<String, Kept> kept = known.get(batch);
        if (kept == null || !recorded.containsAll(asked)) {
            throw new IllegalArgumentException("recorded were the outputs " + recorded + " of " + known.size()
                    + " batches; asked for " + asked + (kept == null ? " of another batch" : ""));
        }
        kept.forEach((name, output) -> {
            if (asked.contains(name)) {
                outputs.put(name, read(output));
            }
        });
        return outputs;
    }

    /** The bytes that did not fit into memory. */
    long inFile() {
        return overflow.map(own -> own.end).orElse(0L);
    }

    private Kept keep(DoubleTensor output) throws IOException {
        Tensor packed = packed(output);
        boolean narrow = packed instanceof FloatTensor;
        long bytes = output.shape().elements() * (narrow ? Float.BYTES : Double.BYTES);
        if (bytes <= free) {
            free -= bytes;
            return new Kept.InMemory(packed);
        }
        return new Kept.InFile(output.shape(), write(packed), narrow);
    }

    private static Tensor packed(DoubleTensor output) {
        double[] values = output.values();
        float[] narrow = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            narrow[i] = (float) values[i];
            if (Double.doubleToRawLongBits(narrow[i]) != Double.doubleToRawLongBits(values[i])) {
                return output;
            }
        }
        return new FloatTensor(output.shape(), narrow);
    }

    private DoubleTensor read(Kept output) {
        return switch (output) {
            case Kept.InMemory(Tensor values) -> DoubleTensor.of(values);
            case Kept.InFile(Shape shape, long position, boolean narrow) -> {
                double[] values = new double[Math.toIntExact(shape.elements())];
                read(values, position, narrow);
                yield new DoubleTensor(shape, values);
            }
        };
    }

    private Overflow file() throws IOException {
        if (overflow.isEmpty()) {
            Path path = folder.isPresent()
                    ? Files.createTempFile(folder.get(), "adapt-outputs", ".tmp")
                    : Files.createTempFile("adapt-outputs", ".tmp");
            try {
                overflow = Optional.of(new Overflow(
                        path,
                        FileChannel.open(
                                path,
                                StandardOpenOption.READ,
                                StandardOpenOption.WRITE,
                                // where the system allows it, at once: nothing is left of a process that is killed
                                StandardOpenOption.DELETE_ON_CLOSE)));
            } catch (IOException | RuntimeException e) {
                Files.deleteIfExists(path);
                throw e;
            }
        }
        return overflow.get();
    }

    private long write(Tensor packed) throws IOException {
        Overflow file = file();
        long start = file.end;
        ByteBuffer buffer = buffer();
        switch (packed) {
            case FloatTensor narrow -> {
                for (float value : narrow.values()) {
                    buffer.putFloat(value);
                    flushFull(file, buffer);
                }
            }
            case DoubleTensor wide -> {
                for (double value : wide.values()) {
                    buffer.putDouble(value);
                    flushFull(file, buffer);
                }
            }
            default -> throw new IllegalArgumentException(packed + " is not packed");
        }
        flush(file, buffer);
        return start;
    }

    private static ByteBuffer buffer() {
        return ByteBuffer.allocate(CHUNK).order(ByteOrder.nativeOrder());
    }

    private static void flushFull(Overflow file, ByteBuffer buffer) throws IOException {
        if (!buffer.hasRemaining()) {
            flush(file, buffer);
        }
    }

    private static void flush(Overflow file, ByteBuffer buffer) throws IOException {
        buffer.flip();
        try {
            while (buffer.hasRemaining()) {
                file.end += file.channel.write(buffer, file.end);
            }
        } catch (IOException e) {
            throw failed(file, e);
        }
        buffer.clear();
    }

    private void read(double[] values, long position, boolean narrow) {
        Overflow file = overflow.orElseThrow();
        ByteBuffer buffer = buffer();
        int width = narrow ? Float.BYTES : Double.BYTES;
        for (int at = 0; at < values.length; ) {
            int count = Math.min(values.length - at, CHUNK / width);
            fill(file, buffer.clear().limit(count * width), position + (long) at * width);
            for (int end = at + count; at < end; at++) {
                values[at] = narrow ? buffer.getFloat() : buffer.getDouble();
            }
        }
    }

    private static void fill(Overflow file, ByteBuffer buffer, long position) {
        try {
            while (buffer.hasRemaining()) {
                if (file.channel.read(buffer, position + buffer.position()) < 0) {
                    throw new IOException("became shorter while it was in use");
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(failed(file, e));
        }
        buffer.flip();
    }

    private static IOException failed(Overflow file, IOException cause) {
        IOException failure =
                new FileSystemException(file.path.toString(), null, "cannot keep outputs there: " + cause.getMessage());
        failure.initCause(cause);
        return failure;
    }

    /** Closes and deletes the temporary file, if there is one. */
    @Override
    public void close() {
        if (overflow.isPresent()) {
            try {
                overflow.get().channel.close();
            } catch (IOException e) {
                throw new UncheckedIOException(failed(overflow.get(), e));
            }
        }
    }
}
