package dev.adapt.formats.safetensors;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
    public static final int MAX_LENGTH = 100_000_000;

    /** Bytes before the JSON: its length. */
    static final int PREFIX = 8;

    private static final String METADATA = "__metadata__";
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

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
    static int length(Path file, ByteBuffer prefix, long fileBytes) {
        if (fileBytes < PREFIX) {
            throw new FormatException(
                    file, "is not a safetensors file: it has " + fileBytes + " bytes, too few for a header");
        }
        long length = prefix.order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        if (length < 0 || length > MAX_LENGTH) {
            throw new FormatException(
                    file,
                    "is not a safetensors file: header length " + Long.toUnsignedString(length)
                            + " exceeds the format's limit of 100,000,000");
        }
        if (length > fileBytes - PREFIX) {
            throw new FormatException(
                    file,
                    "is truncated or not a safetensors file: header length " + length + ", but only "
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
     * @throws FormatException at the first rule of the format that is broken
     */
    static SafetensorsHeader parse(Path file, byte[] json, long fileBytes) {
        if (json.length == 0 || json[0] != '{') {
            throw new FormatException(file, "header", PREFIX, "must start with '{': not a safetensors file");
        }
        String text;
        try {
            text = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(json))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new FormatException(file, "header", PREFIX, "is not valid UTF-8");
        }
        Map<String, String> metadata = new TreeMap<>();
        List<TensorInfo> tensors = new ArrayList<>();
        try (JsonParser parser = JSON.createParser(text)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                if (name.equals(METADATA)) {
                    readMetadata(file, parser, metadata);
                } else {
                    tensors.add(readTensor(file, parser, name));
                }
            }
            requirePadding(file, text, Math.toIntExact(parser.currentLocation().getCharOffset()));
        } catch (JsonParseException e) {
            String reason = e.getOriginalMessage();
            throw new FormatException(
                    file,
                    "header",
                    PREFIX,
                    reason.startsWith("Duplicate") ? "has a duplicate key: " + reason : "is not valid JSON: " + reason);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        long dataOffset = PREFIX + (long) json.length;
        return new SafetensorsHeader(placed(file, tensors, dataOffset, fileBytes), metadata, dataOffset);
    }

    private static void requirePadding(Path file, String text, int end) {
        for (int i = end; i < text.length(); i++) {
            if (text.charAt(i) != ' ') {
                throw new FormatException(
                        file, "header", PREFIX + (long) i, "is followed by something other than padding spaces");
            }
        }
    }

    private static void readMetadata(Path file, JsonParser parser, Map<String, String> into) throws IOException {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw new FormatException(file, METADATA, "must be an object of strings, found " + parser.currentToken());
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.currentName();
            if (parser.nextToken() != JsonToken.VALUE_STRING) {
                throw new FormatException(file, METADATA, key + " must be a string, found " + parser.currentToken());
            }
            into.put(key, parser.getText());
        }
    }

    private static TensorInfo readTensor(Path file, JsonParser parser, String name) throws IOException {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw new FormatException(file, name, "must be an object with dtype, shape and data_offsets");
        }
        Optional<Dtype> dtype = Optional.empty();
        Optional<Shape> shape = Optional.empty();
        Optional<long[]> offsets = Optional.empty();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String field = parser.currentName();
            parser.nextToken();
            switch (field) {
                case "dtype" -> dtype = Optional.of(readDtype(file, parser, name));
                case "shape" -> shape = Optional.of(Shape.of(readNumbers(file, parser, name, field)));
                case "data_offsets" -> offsets = Optional.of(readNumbers(file, parser, name, field));
                default -> throw new FormatException(file, name, "has the unknown field " + field);
            }
        }
        if (dtype.isEmpty() || shape.isEmpty() || offsets.isEmpty()) {
            throw new FormatException(file, name, "lacks one of dtype, shape and data_offsets");
        }
        return checked(file, name, dtype.get(), shape.get(), offsets.get());
    }

    private static TensorInfo checked(Path file, String name, Dtype dtype, Shape shape, long[] offsets) {
        if (offsets.length != 2 || offsets[0] > offsets[1]) {
            throw new FormatException(
                    file, name, "data_offsets must be [begin, end], found " + Arrays.toString(offsets));
        }
        long bits;
        try {
            bits = Math.multiplyExact(shape.elements(), dtype.bits());
        } catch (ArithmeticException e) {
            throw new FormatException(file, name, "shape " + shape + " of " + dtype + " overflows");
        }
        if (bits % 8 != 0) {
            throw new FormatException(
                    file, name, "is misaligned: shape " + shape + " of " + dtype + " does not fill whole bytes");
        }
        if (bits / 8 != offsets[1] - offsets[0]) {
            throw new FormatException(
                    file,
                    name,
                    "shape " + shape + " of " + dtype + " needs " + bits / 8 + " bytes, the header gives "
                            + (offsets[1] - offsets[0]));
        }
        return new TensorInfo(name, dtype, shape, offsets[0], offsets[1]);
    }

    private static Dtype readDtype(Path file, JsonParser parser, String name) throws IOException {
        String text = parser.getText();
        return Dtype.named(text).orElseThrow(() -> new FormatException(file, name, "has the unknown dtype " + text));
    }

    private static long[] readNumbers(Path file, JsonParser parser, String name, String field) throws IOException {
        if (parser.currentToken() != JsonToken.START_ARRAY) {
            throw new FormatException(file, name, field + " must be a list of integers");
        }
        long[] numbers = new long[8];
        int count = 0;
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            boolean isLong = parser.currentToken() == JsonToken.VALUE_NUMBER_INT
                    && parser.getNumberType() != JsonParser.NumberType.BIG_INTEGER;
            if (!isLong || parser.getLongValue() < 0) {
                throw new FormatException(
                        file, name, field + " must hold non-negative integers below 2^63, found " + parser.getText());
            }
            if (count == numbers.length) {
                numbers = Arrays.copyOf(numbers, 2 * count);
            }
            numbers[count++] = parser.getLongValue();
        }
        return Arrays.copyOf(numbers, count);
    }

    /** The tensors in the order of their data, which must cover the data section exactly. */
    private static List<TensorInfo> placed(Path file, List<TensorInfo> tensors, long dataOffset, long fileBytes) {
        // empty tensors lie between others: ordering by end too keeps them before what starts where they do
        List<TensorInfo> ordered = tensors.stream()
                .sorted(Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end))
                .toList();
        long at = 0;
        for (TensorInfo tensor : ordered) {
            if (tensor.begin() != at) {
                String fault = tensor.begin() < at ? "overlaps the tensor before it" : "leaves a hole before it";
                throw new FormatException(
                        file,
                        tensor.name(),
                        dataOffset + tensor.begin(),
                        "data_offsets " + fault + ": expected begin " + at + ", found " + tensor.begin());
            }
            at = tensor.end();
        }
        long found = fileBytes - dataOffset;
        if (at != found) {
            throw new FormatException(
                    file,
                    (at > found ? "is truncated: " : "has extra bytes at its end: ") + "the header describes " + at
                            + " bytes of data, found " + found);
        }
        return ordered;
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
