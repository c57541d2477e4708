package dev.adapt.formats.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalLong;
import java.util.SequencedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Which file of a sharded checkpoint holds which tensor: {@code model.safetensors.index.json}.
 *
 * @param weightMap each tensor's file, a plain name in the index's folder
 * @param metadata what else the index says; total_size, in bytes, as a rule
 */
public record ShardIndex(SequencedMap<String, String> weightMap, ObjectNode metadata) {
    /** The file's name in a checkpoint folder. */
    public static final String FILE = "model.safetensors.index.json";

    private static final String WEIGHT_MAP = "weight_map";
    private static final String METADATA = "metadata";
    private static final String TOTAL_SIZE = "total_size";

    /**
     * Reads an index.
     *
     * @throws FormatException if it is not an index, or names a file outside of its folder
     */
    static ShardIndex read(Path path) throws IOException {
        return parse(path, InputFile.found(path).bytes(Limit.INDEX));
    }

    /**
     * Reads what an index file holds.
     *
     * @throws FormatException if it is not an index, or names a file outside of its folder
     */
    public static ShardIndex parse(Path path, byte[] bytes) {
        JsonDocument document = JsonDocument.parse(path, bytes);
        if (!(document.json().get(WEIGHT_MAP) instanceof ObjectNode map) || map.isEmpty()) {
            throw document.wrong(WEIGHT_MAP, "an object that gives each tensor its file");
        }
        SequencedMap<String, String> weightMap = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> entry : map.properties()) {
            String tensor = entry.getKey();
            if (!entry.getValue().isTextual()) {
                throw new FormatException(
                        path, tensor, "expected the name of the file that holds it, found " + entry.getValue());
            }
            weightMap.put(tensor, plain(path, tensor, entry.getValue().textValue()));
        }
        JsonNode metadata = document.json().path(METADATA);
        if (!metadata.isMissingNode() && !metadata.isNull() && !metadata.isObject()) {
            throw document.wrong(METADATA, "an object");
        }
        if (!isFinite(metadata)) {
            throw document.wrong(METADATA, "numbers that a float64 can hold");
        }
        return new ShardIndex(
                weightMap, metadata instanceof ObjectNode object ? object : new JsonMapper().createObjectNode());
    }

    /** Others could not be written again. */
    private static boolean isFinite(JsonNode node) {
        return node.isNumber()
                ? Double.isFinite(node.doubleValue())
                : node.valueStream().allMatch(ShardIndex::isFinite);
    }

    /** A name that can only be a file beside the index, whatever the operating system makes of special characters. */
    private static String plain(Path path, String tensor, String name) {
        boolean plain = !name.isEmpty()
                && !name.equals(".")
                && !name.equals("..")
                && name.chars().noneMatch(c -> c == '/' || c == '\\' || c == ':' || c < ' ')
                && isFileName(name);
        if (!plain) {
            throw new FormatException(
                    path,
                    tensor,
                    "lies in \"" + printable(name) + "\": expected the plain name of a file in the same folder");
        }
        return name;
    }

    /** Whether the operating system can spell it: with a locale of ASCII names, not all of Unicode. */
    private static boolean isFileName(String name) {
        try {
            return Path.of(name).getNameCount() == 1;
        } catch (InvalidPathException e) {
            return false;
        }
    }

    private static String printable(String name) {
        return name.replaceAll("\\p{Cntrl}", "?");
    }

    /** The index of a checkpoint to be written: the sizes are summed, other metadata are kept. */
    public static ShardIndex of(Map<String, String> weightMap, long totalBytes, ObjectNode metadata) {
        ObjectNode own = metadata.deepCopy();
        own.put(TOTAL_SIZE, totalBytes);
        return new ShardIndex(new TreeMap<>(weightMap), own);
    }

    /** The shards' file names. */
    public SortedSet<String> files() {
        return new TreeSet<>(weightMap.values());
    }

    /** The bytes of all tensors, if the index says so. */
    public OptionalLong totalSize() {
        JsonNode size = metadata.path(TOTAL_SIZE);
        // transformers has written it as a float for a time
        return size.isNumber() ? OptionalLong.of(size.longValue()) : OptionalLong.empty();
    }

    /** The index as transformers writes it. */
    public String text() {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.set(METADATA, metadata);
        ObjectNode map = root.putObject(WEIGHT_MAP);
        weightMap.forEach(map::put);
        return root.toPrettyString() + "\n";
    }
}
