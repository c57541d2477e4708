package dev.adapt.formats.gguf.model;

import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.gguf.GgufWriter;
import dev.adapt.formats.gguf.model.GgufSource.Stored;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorTarget;
import dev.adapt.formats.tensor.FloatFormat;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Puts matrices of a checkpoint, as somebody computes them, to their places in a GGUF file: the other direction of
 * {@link GgufTransfer}, which reads them. Pieces may come in any order, from several threads.
 */
final class GgufScatter implements TensorTarget {
    private final GgufWriter writer;
    private final Map<String, List<Piece>> pieces = new HashMap<>();

    /** Where a matrix goes: to the elements of a tensor from {@code first} on. */
    private record Piece(GgufTensor tensor, long first, Stored source) {}

    /**
     * All places of a file.
     *
     * @param planned by the names of the header's tensors
     */
    GgufScatter(GgufWriter writer, GgufHeader header, Map<String, GgufTensors.Planned> planned) {
        this.writer = writer;
        for (GgufTensor tensor : header.tensors()) {
            long first = 0;
            for (GgufSource source :
                    Objects.requireNonNull(planned.get(tensor.name())).sources()) {
                if (source instanceof Stored stored) {
                    pieces.computeIfAbsent(stored.tensor().name(), absent -> new ArrayList<>())
                            .add(new Piece(tensor, first, stored));
                }
                first += source.rows() * source.columns();
            }
        }
    }

    /**
     * {@inheritDoc}
     *
     * @param bytes whole rows of the stored matrix
     */
    @Override
    public void write(TensorInfo tensor, long offset, MemorySegment bytes) throws IOException {
        FloatFormat format = tensor.dtype().floatFormat().orElseThrow();
        long from = offset / format.bytes();
        int count = Math.toIntExact(bytes.byteSize() / format.bytes());
        for (Piece piece : pieces.getOrDefault(tensor.name(), List.of())) {
            if (piece.source().start() < from + count && from <= piece.source().last()) {
                new Scattered(piece, format, from, count, bytes).write();
            }
        }
    }

    @Override
    public void transfer(FileChannel source, long position, long count, long offset) {
        throw new IllegalStateException("what is not computed is written by the export");
    }

    /** Elements of a checkpoint's tensor on their way to one place. */
    private final class Scattered {
        private final Piece piece;
        private final Stored source;
        private final FloatFormat format;
        private final long from;
        private final long to;
        private final MemorySegment bytes;
        private final boolean same;
        private final GgufEncoder encoder;

        Scattered(Piece piece, FloatFormat format, long from, int count, MemorySegment bytes) {
            this.piece = piece;
            this.source = piece.source();
            this.format = format;
            this.from = from;
            this.to = from + count;
            this.bytes = bytes;
            this.same = source.plain()
                    && piece.tensor()
                            .type()
                            .floatFormat()
                            .filter(format::equals)
                            .isPresent();
            this.encoder = new GgufEncoder(piece.tensor().type());
        }

        void write() throws IOException {
            if (source.contiguous()) {
                long first = Math.max(from, source.start());
                long end = Math.min(to, source.last() + 1);
                put(first, Math.toIntExact(end - first), first - source.start());
            } else if (source.columnStride() == 1) {
                rows();
            } else {
                columns();
            }
        }

        private void rows() throws IOException {
            long size = source.heads() == 0 ? 1 : source.rows() / source.heads();
            long row = Math.max(0, (from - source.start()) / source.rowStride());
            for (; row < source.rows(); row++) {
                long begin = source.start() + row * source.rowStride();
                long first = Math.max(from, begin);
                long end = Math.min(to, begin + source.columns());
                if (begin >= to) {
                    return;
                }
                if (first < end) {
                    long target = source.heads() == 0 ? row : GgufSource.target(row, size);
                    put(first, Math.toIntExact(end - first), target * source.columns() + first - begin);
                }
            }
        }

        /** The stored rows are columns of the tensor: each of its rows gets a run of as many elements. */
        private void columns() throws IOException {
            long stride = source.columnStride();
            if (source.rowStride() > stride) {
                throw new IllegalStateException(piece.tensor().name() + " is not made of a matrix");
            }
            long first = Math.max(0, Math.ceilDiv(from - source.start(), stride));
            int run = Math.toIntExact(Math.min(source.columns(), Math.ceilDiv(to - source.start(), stride)) - first);
            float[] all = decoded(0, Math.toIntExact(to - from));
            float[] values = new float[run];
            for (long row = 0; row < source.rows(); row++) {
                for (int i = 0; i < run; i++) {
                    long element = source.start() + row * source.rowStride() + (first + i) * stride;
                    values[i] = all[Math.toIntExact(element - from)];
                }
                put(values, run, row * source.columns() + first);
            }
        }

        /** Puts neighbouring elements: from {@code first} of the stored tensor to {@code at} of the piece. */
        private void put(long first, int count, long at) throws IOException {
            if (same) {
                writer.write(
                        piece.tensor(),
                        (piece.first() + at) * format.bytes(),
                        bytes.asSlice((first - from) * format.bytes(), (long) count * format.bytes()));
            } else {
                put(decoded(first - from, count), count, at);
            }
        }

        private float[] decoded(long first, int count) {
            float[] values = new float[count];
            format.decode(bytes, first, values, count);
            source.arrange(values, count);
            return values;
        }

        private void put(float[] values, int count, long at) throws IOException {
            MemorySegment encoded = encoder.encode(
                    values, count, source.tensor().file(), source.tensor().name());
            writer.write(piece.tensor(), piece.tensor().type().bytes(piece.first() + at), encoded);
        }
    }
}
