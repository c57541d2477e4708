package dev.adapt.formats.safetensors;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import dev.adapt.formats.FormatException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The header of a safetensors file: 8 bytes of little-endian length, then JSON, then the data. Reading is strict: each
 * rule of the format is checked and has its own error, so that a header that parses describes its file completely.
 *
 * @param tensors in the order of their data, without holes or overlaps
 * @param metadata the {@code __metadata__} strings
 * @param dataOffset where the data section starts in the file
 * @see <a href="https://github.com/huggingface/safetensors">the format's specification</a>
 */
public record SafetensorsHeader(List<TensorInfo> tensors, Map<String, String> metadata, long dataOffset) {
    /** No valid file has a longer header. */
    static final int MAX_LENGTH = 100_000_000;

    /** Bytes before the JSON: its length. */
    public static final int PREFIX = 8;

    static final String METADATA = "__metadata__";
    private static final JsonFactory JSON = new JsonFactory();

    public SafetensorsHeader {
        tensors = List.copyOf(tensors);
        metadata = Map.copyOf(metadata);
    }

    /** The size of the file this header describes, in bytes. */
    public long fileBytes() {
        return dataOffset + (tensors.isEmpty() ? 0 : tensors.getLast().end());
    }

    /**
     * The length of the JSON, from the file's first 8 bytes.
     *
     * @throws FormatException if the file is too short for it or it exceeds {@link #MAX_LENGTH}
     */
    public static int length(Path file, ByteBuffer prefix, long fileBytes) {
        if (fileBytes < PREFIX) {
            throw SafetensorsRule.FILE_TOO_SMALL.brokenBy(
                    file,
                    "header",
                    0,
                    "is too small: the file has " + fileBytes
                            + " bytes, too few for a header; this is not a safetensors file");
        }
        long length = prefix.order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        if (length < 0 || length > MAX_LENGTH) {
            throw SafetensorsRule.HEADER_TOO_LARGE.brokenBy(
                    file,
                    "header",
                    0,
                    "is too large: its length " + Long.toUnsignedString(length)
                            + " exceeds the format's limit of 100,000,000; this is not a safetensors file");
        }
        if (length > fileBytes - PREFIX) {
            throw SafetensorsRule.HEADER_BEYOND_FILE.brokenBy(
                    file,
                    "header",
                    0,
                    "is truncated or not a safetensors header: its length is " + length + ", but only "
                            + (fileBytes - PREFIX) + " bytes follow");
        }
        return (int) length;
    }

    /**
     * Parses and validates a header.
     *
     * @param file named in errors
     * @param json the header's bytes, without the length before them
     * @param fileBytes the size of the whole file
     * @throws FormatException at the first {@link SafetensorsRule} that is broken
     */
    public static SafetensorsHeader parse(Path file, byte[] json, long fileBytes) {
        return HeaderReader.read(file, json, fileBytes);
    }

    /**
     * Lays out tensors as the format's own writer does: wider dtypes first, then by name, so that every tensor is
     * aligned to its element size.
     */
    public static SafetensorsHeader of(List<TensorSpec> specs, Map<String, String> metadata) {
        List<TensorSpec> ordered = specs.stream()
                .sorted(Comparator.comparingInt(
                                (TensorSpec spec) -> -spec.dtype().bits())
                        .thenComparing(TensorSpec::name))
                .toList();
        return inOrder(ordered, metadata);
    }

    /** Lays out tensors in the order given. */
    public static SafetensorsHeader inOrder(List<TensorSpec> specs, Map<String, String> metadata) {
        Map<String, TensorInfo> placed = new LinkedHashMap<>();
        long at = 0;
        for (TensorSpec spec : specs) {
            long end = Math.addExact(at, spec.bytes());
            TensorInfo info = new TensorInfo(spec.name(), spec.dtype(), spec.shape(), at, end);
            if (spec.name().equals(METADATA) || placed.put(spec.name(), info) != null) {
                throw new IllegalArgumentException("tensor name taken: " + spec.name());
            }
            at = end;
        }
        List<TensorInfo> tensors = List.copyOf(placed.values());
        return new SafetensorsHeader(tensors, metadata, encode(tensors, metadata).length);
    }

    /** The bytes before the data section: length and JSON, padded with spaces to a multiple of 8. */
    byte[] encode() {
        return encode(tensors, metadata);
    }

    private static byte[] encode(List<TensorInfo> tensors, Map<String, String> metadata) {
        ByteArrayOutputStream json = new ByteArrayOutputStream();
        try (JsonGenerator out = JSON.createGenerator(json)) {
            out.writeStartObject();
            if (!metadata.isEmpty()) {
                out.writeObjectFieldStart(METADATA);
                for (Map.Entry<String, String> entry : new TreeMap<>(metadata).entrySet()) {
                    out.writeStringField(entry.getKey(), entry.getValue());
                }
                out.writeEndObject();
            }
            for (TensorInfo tensor : tensors) {
                out.writeObjectFieldStart(tensor.name());
                out.writeStringField("dtype", tensor.dtype().name());
                writeNumbers(out, "shape", tensor.shape().toArray());
                writeNumbers(out, "data_offsets", tensor.begin(), tensor.end());
                out.writeEndObject();
            }
            out.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        int padded = Math.ceilDiv(json.size(), 8) * 8;
        ByteBuffer bytes = ByteBuffer.allocate(PREFIX + padded).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(padded).put(json.toByteArray());
        while (bytes.hasRemaining()) {
            bytes.put((byte) ' ');
        }
        return bytes.array();
    }

    private static void writeNumbers(JsonGenerator out, String field, long... numbers) throws IOException {
        out.writeArrayFieldStart(field);
        for (long number : numbers) {
            out.writeNumber(number);
        }
        out.writeEndArray();
    }
}
