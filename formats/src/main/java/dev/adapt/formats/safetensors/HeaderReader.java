package dev.adapt.formats.safetensors;

import static dev.adapt.formats.safetensors.SafetensorsHeader.METADATA;
import static dev.adapt.formats.safetensors.SafetensorsHeader.PREFIX;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** Parses one header and checks it, rule by rule; see {@link SafetensorsRule}. */
final class HeaderReader {
    private static final JsonFactory JSON = JsonFactory.builder()
            // each name is met once: a table of names would cost, and could be flooded with collisions
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            // the header's own limit is the only one
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNameLength(SafetensorsHeader.MAX_LENGTH)
                    .maxStringLength(SafetensorsHeader.MAX_LENGTH)
                    .build())
            .build();

    private final Path file;
    private final byte[] json;
    private final JsonParser parser;
    private final Map<String, String> metadata = new TreeMap<>();
    private final List<TensorInfo> tensors = new ArrayList<>();
    private final Set<String> names = new HashSet<>();

    private HeaderReader(Path file, byte[] json, JsonParser parser) {
        this.file = file;
        this.json = json;
        this.parser = parser;
    }

    static SafetensorsHeader read(Path file, byte[] json, long fileBytes) {
        if (json.length == 0 || json[0] != '{') {
            throw SafetensorsRule.HEADER_START.brokenBy(
                    file, "header", PREFIX, "must start with '{': not a safetensors file");
        }
        // a reader of our own: the parser would guess an encoding from the first bytes
        CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();
        try (JsonParser parser = JSON.createParser(new InputStreamReader(new ByteArrayInputStream(json), utf8))) {
            HeaderReader reader = new HeaderReader(file, json, parser);
            try {
                reader.parse();
            } catch (JsonProcessingException e) {
                throw reader.notJson(e);
            } catch (CharacterCodingException e) {
                throw SafetensorsRule.NOT_UTF8.brokenBy(file, "header", firstBadByte(json), "is not valid UTF-8");
            }
            long dataOffset = PREFIX + (long) json.length;
            List<TensorInfo> placed = reader.placed(dataOffset, fileBytes);
            return new SafetensorsHeader(placed, reader.metadata, dataOffset);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void parse() throws IOException {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = unicode(parser.currentName());
            if (!names.add(name)) {
                throw duplicate("header", name);
            }
            if (name.equals(METADATA)) {
                readMetadata();
            } else {
                tensors.add(readTensor(name));
            }
        }
        for (int i = indexOf(parser.currentLocation().getCharOffset()); i < json.length; i++) {
            if (json[i] != ' ') {
                throw SafetensorsRule.PADDING.brokenBy(
                        file,
                        "header",
                        PREFIX + (long) i,
                        "is followed by byte 0x%02x, expected only spaces as padding".formatted(json[i]));
            }
        }
    }

    private void readMetadata() throws IOException {
        if (parser.nextToken() == JsonToken.VALUE_NULL) {
            return; // the reference implementation reads null as absent
        }
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            throw fault(SafetensorsRule.METADATA, METADATA, "must be an object of strings, found " + found());
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = unicode(parser.currentName());
            if (metadata.containsKey(key)) {
                throw duplicate(METADATA, key);
            }
            if (parser.nextToken() != JsonToken.VALUE_STRING) {
                throw fault(SafetensorsRule.METADATA, METADATA, key + " must be a string, found " + found());
            }
            metadata.put(key, unicode(parser.getText()));
        }
    }

    private TensorInfo readTensor(String name) throws IOException {
        long entry = parser.currentTokenLocation().getCharOffset();
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw fault(
                    SafetensorsRule.TENSOR_FIELDS,
                    name,
                    "must be an object with dtype, shape and data_offsets, found " + found());
        }
        @Nullable Dtype dtype = null;
        @Nullable Shape shape = null;
        long @Nullable [] offsets = null;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String field = parser.currentName();
            @Nullable Object before = switch (field) {
                case "dtype" -> dtype;
                case "shape" -> shape;
                case "data_offsets" -> offsets;
                default -> throw fault(SafetensorsRule.TENSOR_FIELDS, name, "has the unknown field " + field);
            };
            if (before != null) {
                throw duplicate(name, field);
            }
            parser.nextToken();
            switch (field) {
                case "dtype" -> dtype = readDtype(name);
                case "shape" -> shape = Shape.of(readNumbers(SafetensorsRule.SHAPE, name, field));
                default -> offsets = readNumbers(SafetensorsRule.OFFSETS, name, field);
            }
        }
        if (dtype == null || shape == null || offsets == null) {
            throw fault(SafetensorsRule.TENSOR_FIELDS, name, "lacks one of dtype, shape and data_offsets");
        }
        return checked(entry, name, dtype, shape, offsets);
    }

    private FormatException duplicate(String place, String key) {
        return fault(SafetensorsRule.DUPLICATE_KEY, place, "has a duplicate key: " + key);
    }

    private Dtype readDtype(String name) throws IOException {
        String text = parser.getText();
        Optional<Dtype> dtype = Dtype.named(text);
        if (dtype.isEmpty()) {
            throw fault(SafetensorsRule.UNKNOWN_DTYPE, name, "has the unknown dtype " + text);
        }
        return dtype.get();
    }

    private long[] readNumbers(SafetensorsRule rule, String name, String field) throws IOException {
        if (parser.currentToken() != JsonToken.START_ARRAY) {
            throw fault(rule, name, field + " must be a list of integers, found " + found());
        }
        long[] numbers = new long[4];
        int count = 0;
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT
                    || parser.getTextCharacters()[parser.getTextOffset()] == '-') {
                throw fault(rule, name, field + " must hold non-negative integers, found " + found());
            }
            if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
                throw fault(SafetensorsRule.OVERFLOW, name, field + " overflows: " + found() + " is not below 2^63");
            }
            if (count == numbers.length) {
                numbers = Arrays.copyOf(numbers, 2 * count);
            }
            numbers[count++] = parser.getLongValue();
        }
        return Arrays.copyOf(numbers, count);
    }

    private TensorInfo checked(long entry, String name, Dtype dtype, Shape shape, long[] offsets) {
        if (offsets.length != 2 || offsets[0] > offsets[1]) {
            throw fault(
                    SafetensorsRule.OFFSETS,
                    entry,
                    name,
                    "data_offsets must be [begin, end], found " + Arrays.toString(offsets));
        }
        long bits;
        try {
            bits = Math.multiplyExact(shape.elements(), dtype.bits());
        } catch (ArithmeticException e) {
            throw fault(SafetensorsRule.OVERFLOW, entry, name, what(dtype, shape) + " overflows");
        }
        if (bits % 8 != 0) {
            throw fault(
                    SafetensorsRule.MISALIGNED,
                    entry,
                    name,
                    "is misaligned: " + what(dtype, shape) + " does not fill whole bytes");
        }
        long given = offsets[1] - offsets[0];
        if (bits / 8 != given) {
            throw fault(
                    SafetensorsRule.SIZE,
                    entry,
                    name,
                    what(dtype, shape) + " needs " + bits / 8 + " bytes, the header gives " + given);
        }
        return new TensorInfo(name, dtype, shape, offsets[0], offsets[1]);
    }

    private static String what(Dtype dtype, Shape shape) {
        return "shape " + shape + " of " + dtype;
    }

    private static int byPlace(TensorInfo left, TensorInfo right) {
        int begins = Long.compare(left.begin(), right.begin());
        return begins != 0 ? begins : Long.compare(left.end(), right.end());
    }

    /** The tensors in the order of their data, which must cover the data section exactly. */
    private List<TensorInfo> placed(long dataOffset, long fileBytes) {
        // empty tensors lie between others: ordering by end too keeps them before what starts where they do
        tensors.sort(HeaderReader::byPlace);
        long found = fileBytes - dataOffset;
        long at = 0;
        for (TensorInfo tensor : tensors) {
            if (tensor.begin() != at) {
                boolean overlap = tensor.begin() < at;
                throw (overlap ? SafetensorsRule.OVERLAP : SafetensorsRule.HOLE)
                        .brokenBy(
                                file,
                                tensor.name(),
                                dataOffset + Math.min(at, tensor.begin()),
                                "data_offsets " + (overlap ? "overlaps the tensor" : "leaves a hole")
                                        + " before it: expected begin " + at + ", found " + tensor.begin());
            }
            at = tensor.end();
            if (at > found) {
                throw SafetensorsRule.MISSING_BYTES.brokenBy(
                        file,
                        tensor.name(),
                        fileBytes,
                        "is truncated: the file lacks "
                                + (tensors.getLast().end() - found) + " of the "
                                + tensors.getLast().end()
                                + " bytes that its tensors have; download it again");
            }
        }
        if (at < found) {
            throw SafetensorsRule.EXTRA_BYTES.brokenBy(
                    file,
                    "data",
                    dataOffset + at,
                    "has extra bytes at its end: the header describes " + at + " bytes of data, found " + found);
        }
        return tensors;
    }

    private FormatException notJson(JsonProcessingException e) {
        // what Jackson adds of its own source is of no use: the offset says where
        String reason = e.getOriginalMessage().replaceFirst(" \\(start marker at .*", "");
        long offset = e.getLocation() == null ? 0 : e.getLocation().getCharOffset();
        return fault(SafetensorsRule.NOT_JSON, offset, "header", "is not valid JSON: " + reason);
    }

    /** A string as it is, unless half of a surrogate pair makes it none that UTF-8 could hold. */
    private String unicode(String text) {
        for (int i = 0; i < text.length(); i++) {
            // of a pair, both halves are passed over at once
            if (Character.isSurrogate(text.charAt(i)) && Character.charCount(text.codePointAt(i++)) == 1) {
                throw fault(
                        SafetensorsRule.NOT_JSON, "header", "is not valid JSON: a string has half of a surrogate pair");
            }
        }
        return text;
    }

    private String found() throws IOException {
        return parser.currentToken().isStructStart() ? "a list or an object" : parser.getText();
    }

    private FormatException fault(SafetensorsRule rule, String place, String reason) {
        return fault(rule, parser.currentTokenLocation().getCharOffset(), place, reason);
    }

    private FormatException fault(SafetensorsRule rule, long charOffset, String place, String reason) {
        return rule.brokenBy(file, place, PREFIX + (long) indexOf(charOffset), reason);
    }

    /** The index of the byte where a character, counted in UTF-16 units, begins. */
    private int indexOf(long character) {
        long units = 0;
        int i = 0;
        for (; i < json.length; i++) {
            boolean starts = (json[i] & 0xc0) != 0x80;
            if (starts && units >= character) {
                break;
            }
            if (starts) {
                units += (json[i] & 0xf8) == 0xf0 ? 2 : 1;
            }
        }
        return i;
    }

    private static long firstBadByte(byte[] json) {
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
        ByteBuffer in = ByteBuffer.wrap(json);
        CharBuffer out = CharBuffer.allocate(1 << 13);
        CoderResult result;
        do {
            out.clear();
            result = decoder.decode(in, out, true);
        } while (result.isOverflow());
        return PREFIX + (long) in.position();
    }
}
