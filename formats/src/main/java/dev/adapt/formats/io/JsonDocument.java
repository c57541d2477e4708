package dev.adapt.formats.io;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.GitLfs;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A file that holds one JSON object, with accessors whose errors name the file and the field.
 *
 * @param path the file, for messages
 */
public record JsonDocument(Path path, ObjectNode json) {
    /** Objects and lists within each other; those of a tokenizer.json are 8 deep. */
    private static final int MAX_NESTING = 100;

    // the tree is built here and not by an ObjectMapper, the making of which takes longer than most commands have to
    // wait for
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            // Python writes NaN and Infinity: read, they are refused by field
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
            .streamReadConstraints(
                    StreamReadConstraints.builder().maxNestingDepth(MAX_NESTING).build())
            .build();

    /** A byte order mark as UTF-8 has it, which editors on Windows put before the text. */
    private static final byte[] MARK = {(byte) 0xef, (byte) 0xbb, (byte) 0xbf};

    /**
     * Reads a config that was found in its folder.
     *
     * @throws FormatException if it is not one JSON object, or a link out of its folder
     */
    public static JsonDocument read(Path path) throws IOException {
        return read(InputFile.found(path), Limit.CONFIG);
    }

    /**
     * Reads a file.
     *
     * @throws FormatException if it is not one JSON object, or longer than the limit
     */
    public static JsonDocument read(InputFile file, Limit limit) throws IOException {
        return parse(file.path(), file.bytes(limit));
    }

    /** Reads a JSON file that lies beside a class of this library. */
    public static JsonDocument resource(Class<?> owner, String file) {
        try (InputStream resource = owner.getResourceAsStream(file)) {
            if (resource == null) {
                throw new IllegalStateException("no resource " + file);
            }
            return parse(Path.of(file), resource.readAllBytes());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * Reads what a file holds; a byte order mark before the text is passed over.
     *
     * @throws FormatException if it is not one JSON object in UTF-8, with each key once and only finite numbers
     */
    public static JsonDocument parse(Path path, byte[] bytes) {
        GitLfs.refusePointer(path, bytes);
        try (JsonParser parser = JSON.createParser(StandardCharsets.UTF_8
                .newDecoder()
                .decode(ByteBuffer.wrap(withoutMark(bytes)))
                .toString())) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new FormatException(path, "must hold one JSON object");
            }
            ObjectNode json = object(path, parser);
            if (parser.nextToken() != null) {
                throw new FormatException(path, "is not valid JSON: something follows the object");
            }
            return new JsonDocument(path, json);
        } catch (CharacterCodingException e) {
            throw new FormatException(path, "is not valid UTF-8", e);
        } catch (JsonProcessingException e) {
            throw new FormatException(path, "is not valid JSON: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new UncheckedIOException(e); // text in memory is always readable
        }
    }

    /** What a file holds, without the byte order mark that other readers of JSON refuse. */
    public static byte[] withoutMark(byte[] bytes) {
        boolean marked = bytes.length >= MARK.length && Arrays.equals(bytes, 0, MARK.length, MARK, 0, MARK.length);
        return marked ? Arrays.copyOfRange(bytes, MARK.length, bytes.length) : bytes;
    }

    private static ObjectNode object(Path path, JsonParser parser) throws IOException {
        ObjectNode object = JsonNodeFactory.instance.objectNode();
        for (String field = parser.nextFieldName(); field != null; field = parser.nextFieldName()) {
            object.set(field, value(path, field, parser, parser.nextToken()));
        }
        return object;
    }

    private static ArrayNode array(Path path, String field, JsonParser parser) throws IOException {
        ArrayNode array = JsonNodeFactory.instance.arrayNode();
        for (JsonToken token = parser.nextToken(); token != JsonToken.END_ARRAY; token = parser.nextToken()) {
            array.add(value(path, field, parser, token));
        }
        return array;
    }

    private static JsonNode value(Path path, String field, JsonParser parser, JsonToken token) throws IOException {
        JsonNodeFactory nodes = JsonNodeFactory.instance;
        return switch (token) {
            case START_OBJECT -> object(path, parser);
            case START_ARRAY -> array(path, field, parser);
            case VALUE_STRING -> nodes.textNode(parser.getText());
            case VALUE_TRUE -> nodes.booleanNode(true);
            case VALUE_FALSE -> nodes.booleanNode(false);
            case VALUE_NULL -> nodes.nullNode();
            case VALUE_NUMBER_FLOAT -> nodes.numberNode(finite(path, field, parser));
            case VALUE_NUMBER_INT ->
                switch (parser.getNumberType()) {
                    case INT -> nodes.numberNode(parser.getIntValue());
                    case LONG -> nodes.numberNode(parser.getLongValue());
                    default -> nodes.numberNode(parser.getBigIntegerValue());
                };
            default -> throw new IllegalStateException("a parser of text gave " + token);
        };
    }

    private static double finite(Path path, String field, JsonParser parser) throws IOException {
        double value = parser.getDoubleValue();
        if (!Double.isFinite(value)) {
            throw new FormatException(path, field, "expected a finite number, found " + parser.getText());
        }
        return value;
    }

    /** The object as indented text. */
    public String text() {
        return json.toPrettyString() + "\n";
    }

    /** A string field; empty where it is missing or something else. */
    public Optional<String> string(String field) {
        return Optional.ofNullable(json.get(field)).filter(JsonNode::isTextual).map(JsonNode::textValue);
    }

    /**
     * A string field.
     *
     * @throws FormatException if it is missing or something else
     */
    public String requireString(String field) {
        return string(field).orElseThrow(() -> wrong(field, "a text"));
    }

    /** Whether a field is there and is neither null, false nor empty. */
    public boolean says(String field) {
        JsonNode node = json.path(field);
        return switch (node.getNodeType()) {
            case MISSING, NULL -> false;
            case BOOLEAN -> node.booleanValue();
            case ARRAY, OBJECT -> !node.isEmpty();
            default -> true;
        };
    }

    /** The first of these fields that is there and is not null; the first of all if none is. */
    public String either(String... fields) {
        return Stream.of(fields).filter(this::has).findFirst().orElse(fields[0]);
    }

    /** Refuses a flag that is set and would change the graph in a way that is not supported. */
    public void refuse(String flag) {
        if (says(flag)) {
            throw wrong(flag, "false or nothing: what it switches on is not supported");
        }
    }

    /** Whether a field is there and is not null. */
    public boolean has(String field) {
        return json.hasNonNull(field);
    }

    /**
     * True or false, or what its absence means.
     *
     * @throws FormatException if it is something else
     */
    public boolean flag(String field, boolean otherwise) {
        if (!has(field)) {
            return otherwise;
        }
        if (!json.path(field).isBoolean()) {
            throw wrong(field, "true or false");
        }
        return json.path(field).booleanValue();
    }

    /**
     * A whole number of 64 bits; empty where it is missing.
     *
     * @throws FormatException if it is something else
     */
    public Optional<Long> whole(String field) {
        if (!has(field)) {
            return Optional.empty();
        }
        JsonNode node = json.path(field);
        if (!node.isIntegralNumber() || !node.canConvertToLong()) {
            throw wrong(field, "an integer");
        }
        return Optional.of(node.longValue());
    }

    /**
     * A list of names; empty where the field says nothing.
     *
     * @throws FormatException if it is something else
     */
    public List<String> names(String field) {
        if (says(field) && !json.path(field).isArray()) {
            throw wrong(field, "a list of names");
        }
        List<String> names = new ArrayList<>();
        for (JsonNode name : json.path(field)) {
            if (!name.isTextual()) {
                throw wrong(field, "a list of names");
            }
            names.add(name.textValue());
        }
        return names;
    }

    /**
     * A positive whole number.
     *
     * @throws FormatException if it is missing or something else
     */
    public int positive(String field) {
        return positive(field, Integer.MAX_VALUE);
    }

    /**
     * A positive whole number that a loop or an allocation follows.
     *
     * @param most the largest that is believed
     * @throws FormatException if it is missing, larger, or something else
     */
    public int positive(String field, int most) {
        JsonNode node = json.get(field);
        if (node == null || !node.isIntegralNumber() || !node.canConvertToInt() || node.intValue() <= 0) {
            throw wrong(field, "a positive integer");
        }
        if (node.intValue() > most) {
            throw wrong(field, "at most " + most);
        }
        return node.intValue();
    }

    /**
     * The same, where the field may be missing.
     *
     * @param usual what a missing or null field means
     */
    public int positive(String field, int most, int usual) {
        return has(field) ? positive(field, most) : usual;
    }

    /**
     * A whole number, or what its absence means.
     *
     * @throws FormatException if it is something else, below {@code least} or above {@code most}
     */
    public int integer(String field, int otherwise, int least, int most) {
        JsonNode node = json.get(field);
        if (node == null || node.isNull()) {
            return otherwise;
        }
        if (!node.isIntegralNumber() || !node.canConvertToInt() || node.intValue() < least || node.intValue() > most) {
            throw wrong(field, "an integer from " + least + " to " + most);
        }
        return node.intValue();
    }

    /**
     * A list of positive whole numbers.
     *
     * @param most the largest that is believed
     * @throws FormatException if it is missing, has another length, or holds something else
     */
    public List<Integer> positives(String field, int count, int most) {
        List<Integer> numbers = new ArrayList<>();
        for (JsonNode node : json.path(field)) {
            numbers.add(node.isIntegralNumber() && node.canConvertToInt() ? node.intValue() : 0);
        }
        if (!json.path(field).isArray()
                || numbers.size() != count
                || numbers.stream().anyMatch(each -> each <= 0)) {
            throw wrong(field, "a list of " + count + " positive integers");
        }
        if (numbers.stream().anyMatch(each -> each > most)) {
            throw wrong(field, "integers of at most " + most);
        }
        return numbers;
    }

    /**
     * An object inside, whose errors name the file.
     *
     * @throws FormatException if it is missing or something else
     */
    public JsonDocument object(String field) {
        if (json.get(field) instanceof ObjectNode inner) {
            return new JsonDocument(path, inner);
        }
        throw wrong(field, "an object");
    }

    /**
     * A list of objects, whose errors name the file; empty where the field is missing.
     *
     * @throws FormatException if it is something else
     */
    public List<JsonDocument> objects(String field) {
        List<JsonDocument> objects = new ArrayList<>();
        if (has(field) && !json.path(field).isArray()) {
            throw wrong(field, "a list of objects");
        }
        for (JsonNode each : json.path(field)) {
            if (!(each instanceof ObjectNode object)) {
                throw wrong(field, "a list of objects");
            }
            objects.add(new JsonDocument(path, object));
        }
        return objects;
    }

    /**
     * A number that float32 can hold, or what its absence means.
     *
     * @throws FormatException if it is something else, or larger
     */
    public double number(String field, double otherwise) {
        JsonNode node = json.get(field);
        if (node == null || node.isNull()) {
            return otherwise;
        }
        if (!node.isNumber()) {
            throw wrong(field, "a number");
        }
        if (!(Math.abs(node.doubleValue()) <= Float.MAX_VALUE)) {
            throw wrong(field, "a number of at most 3.4e38, float32's largest");
        }
        return node.doubleValue();
    }

    /** The error for a field that is missing or not as expected. */
    public FormatException wrong(String field, String expected) {
        JsonNode found = json.get(field);
        return new FormatException(
                path, field, "expected " + expected + ", found " + (found == null ? "no such field" : found));
    }
}
