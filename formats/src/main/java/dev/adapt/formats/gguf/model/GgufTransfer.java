package dev.adapt.formats.gguf.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.gguf.GgufWriter;
import dev.adapt.formats.gguf.model.GgufSource.Given;
import dev.adapt.formats.gguf.model.GgufSource.Stored;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatFormat;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;

/** Writes tensors, block by block of rows: memory does not depend on their size. */
final class GgufTransfer {
    /** Elements converted at a time, where a row or a head has no more. */
    private static final int BLOCK = 1 << 16;

    private final GgufWriter writer;
    private final GgufTensor tensor;
    private long written;
    private final GgufEncoder encoder;

    private GgufTransfer(GgufWriter writer, GgufTensor tensor) {
        this.writer = writer;
        this.tensor = tensor;
        this.encoder = new GgufEncoder(tensor.type());
    }

    /**
     * Writes a tensor.
     *
     * @param out the file's final name
     * @param sources whose rows are its rows, one after the other
     * @param left sources that others write
     * @throws FormatException if a value becomes infinite in its type, or a value to be quantized is not finite
     */
    static void write(
            GgufWriter writer, Path out, GgufTensor tensor, List<GgufSource> sources, Predicate<GgufSource> left)
            throws IOException {
        GgufTransfer transfer = new GgufTransfer(writer, tensor);
        for (GgufSource source : sources) {
            if (left.test(source)) {
                transfer.written += tensor.type().bytes(source.rows() * source.columns());
                continue;
            }
            switch (source) {
                case Given given -> transfer.encode(given.values(), given.values().length, out, tensor.name());
                case Stored stored -> transfer.copy(stored);
            }
        }
        if (transfer.written != tensor.bytes()) {
            throw new IllegalStateException(tensor + " got " + transfer.written + " bytes");
        }
    }

    private void copy(Stored source) throws IOException {
        TensorView from = source.tensor();
        FloatFormat format = from.requireFloats().dtype().floatFormat().orElseThrow();
        boolean same = source.plain()
                && tensor.type().floatFormat().filter(format::equals).isPresent();
        if (same && source.contiguous()) {
            long bytes = source.rows() * source.columns() * format.bytes();
            writer.transfer(from.channel(), from.position() + source.start() * format.bytes(), bytes, tensor, written);
            written += bytes;
            return;
        }
        long size = source.heads() == 0 ? 1 : source.rows() / source.heads();
        long step = Math.max(1, BLOCK / Math.max(1, source.columns() * size)) * size;
        Rows rows = new Rows(source, format, (int) Math.min(step, source.rows()));
        for (long row = 0; row < source.rows(); row += step) {
            int count = (int) Math.min(step, source.rows() - row);
            float[] values = rows.read(row, count);
            int elements = Math.toIntExact(count * source.columns());
            source.arrange(values, elements);
            encode(values, elements, source.tensor().file(), source.tensor().name());
        }
    }

    private void encode(float[] values, int count, Path file, String name) throws IOException {
        MemorySegment bytes = encoder.encode(values, count, file, name);
        writer.write(tensor, written, bytes);
        written += bytes.byteSize();
    }

    /** Reads rows of a matrix as float32. */
    private static final class Rows {
        private final Stored source;
        private final FloatFormat format;
        private final float[] values;
        private final float[] line;
        private byte[] read = {};

        Rows(Stored source, FloatFormat format, int most) {
            this.source = source;
            this.format = format;
            this.values = new float[Math.toIntExact(most * source.columns())];
            long span = source.columnStride() == 1 ? source.columns() : most * source.rowStride();
            this.line = new float[Math.toIntExact(Math.max(span, source.columns() * source.columnStride()))];
        }

        /** So many rows from one on; with heads, these are whole heads. */
        float[] read(long row, int count) throws IOException {
            if (source.columnStride() == 1) {
                long size = source.heads() == 0 ? 0 : source.rows() / source.heads();
                if (size == 0 && source.rowStride() == source.columns()) {
                    decode(source.start() + row * source.rowStride(), values, (int) (count * source.columns()));
                } else {
                    lines(row, count, size);
                }
            } else if (source.rowStride() < source.columnStride()) {
                columns(row, count);
            } else {
                strided(row, count);
            }
            return values;
        }

        private void lines(long row, int count, long size) throws IOException {
            int columns = (int) source.columns();
            for (int i = 0; i < count; i++) {
                long from = size == 0 ? row + i : GgufSource.source(row + i, size);
                decode(source.start() + from * source.rowStride(), line, columns);
                System.arraycopy(line, 0, values, i * columns, columns);
            }
        }

        /** Of a transposed matrix, each column's piece is read at once. */
        private void columns(long row, int count) throws IOException {
            int columns = (int) source.columns();
            int stride = (int) source.rowStride();
            for (int c = 0; c < columns; c++) {
                decode(source.start() + c * source.columnStride() + row * stride, line, (count - 1) * stride + 1);
                for (int i = 0; i < count; i++) {
                    values[i * columns + c] = line[i * stride];
                }
            }
        }

        private void strided(long row, int count) throws IOException {
            int columns = (int) source.columns();
            int stride = (int) source.columnStride();
            for (int i = 0; i < count; i++) {
                decode(source.start() + (row + i) * source.rowStride(), line, (columns - 1) * stride + 1);
                for (int c = 0; c < columns; c++) {
                    values[i * columns + c] = line[c * stride];
                }
            }
        }

        private void decode(long from, float[] into, int count) throws IOException {
            int size = count * format.bytes();
            if (read.length < size) {
                read = new byte[size];
            }
            MemorySegment bytes = MemorySegment.ofArray(read).asSlice(0, size);
            source.tensor().copy(from * format.bytes(), bytes);
            format.decode(bytes, 0, into, count);
        }
    }
}
