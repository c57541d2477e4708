package dev.adapt.formats.gguf;

import dev.adapt.formats.gguf.GgufValue.Kind;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * The header of a GGUF file: its metadata and where its tensors lie.
 *
 * @param tensors in the order of their data, each at a multiple of the alignment
 * @param dataOffset where the data section starts in the file
 */
public record GgufHeader(
        SequencedMap<String, GgufValue> metadata, List<GgufTensor> tensors, int alignment, long dataOffset) {
    /** Longer headers are refused: those of today's vocabularies have about 10 MB. */
    static final long MAX_BYTES = 1L << 28;

    /** The alignment of files without {@code general.alignment}. */
    static final int ALIGNMENT = 32;

    static final String ALIGNMENT_KEY = "general.alignment";
    static final int MAGIC = 0x46554747; // "GGUF", little-endian
    static final int VERSION = 3;
    private static final int MOST_NAME = 64;

    public GgufHeader {
        metadata = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(metadata));
        tensors = List.copyOf(tensors);
    }

    /** A tensor to be written, before it has a place. */
    public record Spec(String name, GgmlType type, Shape shape) {}

    /**
     * Lays out tensors in the order given.
     *
     * @throws IllegalArgumentException if a name is taken, too long, or a row holds no whole blocks
     */
    public static GgufHeader of(SequencedMap<String, GgufValue> metadata, List<Spec> specs) {
        Set<String> names = new HashSet<>();
        List<GgufTensor> placed = new ArrayList<>();
        long at = 0;
        for (Spec spec : specs) {
            if (!names.add(spec.name()) || spec.name().getBytes(StandardCharsets.UTF_8).length >= MOST_NAME) {
                throw new IllegalArgumentException("tensor name taken or too long: " + spec.name());
            }
            GgufTensor tensor = new GgufTensor(spec.name(), spec.type(), spec.shape(), at);
            if (columns(spec.shape()) % spec.type().blockElements() != 0) {
                throw new IllegalArgumentException(spec.name() + ": " + spec.shape() + " in " + spec.type());
            }
            placed.add(tensor);
            at = aligned(Math.addExact(at, tensor.bytes()), ALIGNMENT);
        }
        GgufHeader header = new GgufHeader(metadata, placed, ALIGNMENT, 0);
        return new GgufHeader(metadata, placed, ALIGNMENT, header.encode().length);
    }

    public static long columns(Shape shape) {
        return shape.rank() == 0 ? 1 : shape.dim(shape.rank() - 1);
    }

    static long aligned(long bytes, int alignment) {
        return Math.ceilDiv(bytes, (long) alignment) * alignment;
    }

    /** A string of the metadata. */
    public Optional<String> text(String key) {
        return metadata.get(key) instanceof GgufValue.Text(String value) ? Optional.of(value) : Optional.empty();
    }

    /** The size of the file this header describes, in bytes, with the last tensor padded too. */
    public long fileBytes() {
        return dataOffset
                + (tensors.isEmpty()
                        ? 0
                        : aligned(tensors.getLast().begin() + tensors.getLast().bytes(), alignment));
    }

    /** The bytes before the data section. */
    byte[] encode() {
        Sink sink = new Sink();
        sink.u32(MAGIC);
        sink.u32(VERSION);
        sink.u64(tensors.size());
        sink.u64(metadata.size());
        metadata.forEach((key, value) -> {
            sink.text(key);
            sink.u32(value.kind().id());
            sink.value(value);
        });
        for (GgufTensor tensor : tensors) {
            sink.text(tensor.name());
            int rank = Math.max(1, tensor.shape().rank());
            sink.u32(rank);
            for (int i = rank - 1; i >= 0; i--) {
                sink.u64(tensor.shape().rank() == 0 ? 1 : tensor.shape().dim(i));
            }
            sink.u32(tensor.type().id());
            sink.u64(tensor.begin());
        }
        while (sink.out.size() % alignment != 0) {
            sink.out.write(0);
        }
        return sink.out.toByteArray();
    }

    /** Little-endian bytes. */
    private static final class Sink {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();
        private final ByteBuffer eight = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);

        void u32(int value) {
            out.write(eight.putInt(0, value).array(), 0, 4);
        }

        void u64(long value) {
            out.write(eight.putLong(0, value).array(), 0, 8);
        }

        void text(String text) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            u64(bytes.length);
            out.writeBytes(bytes);
        }

        void value(GgufValue value) {
            switch (value) {
                case GgufValue.Whole(Kind kind, long number) ->
                    out.write(eight.putLong(0, number).array(), 0, kind.least());
                case GgufValue.Real(Kind kind, double number) -> {
                    if (kind == Kind.F32) {
                        u32(Float.floatToRawIntBits((float) number));
                    } else {
                        u64(Double.doubleToRawLongBits(number));
                    }
                }
                case GgufValue.Flag(boolean flag) -> out.write(flag ? 1 : 0);
                case GgufValue.Text(String text) -> text(text);
                case GgufValue.Items(Kind of, List<GgufValue> values) -> {
                    u32(of.id());
                    u64(values.size());
                    values.forEach(this::value);
                }
            }
        }
    }
}
