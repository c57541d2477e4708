package dev.adapt.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.tensor.DoubleTensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Objects;
import java.util.Random;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * The reference cases: the committed ones, which resources/cases/README.md describes, and all others where the environment
 * variables {@code ADAPT_CASES} and {@code ADAPT_FIXTURES} name their folders.
 */
final class StoredCases {
    private static final String FIXTURES = "fixtures";
    private static final List<String> GROUPS =
            List.of(FIXTURES, "arch", "methods", "layout", "quant", "reports", "lora");
    private static final JsonMapper JSON = new JsonMapper();

    private StoredCases() {}

    /** Names of all cases of a group, such as arch/gemma. */
    static List<String> names(String group) throws IOException {
        NavigableSet<String> names = new TreeSet<>();
        described(group).fieldNames().forEachRemaining(names::add);
        Path whole = whole(group);
        if (whole != null) {
            try (Stream<Path> inside = Files.list(whole)) {
                inside.forEach(folder -> names.add(group + "/" + folder.getFileName()));
            }
        }
        return List.copyOf(names);
    }

    /**
     * The folder of a case, which tests only read.
     *
     * @param folder where a committed case is unpacked, in a folder of its name
     */
    static Path at(String name, Path folder) throws IOException {
        String group = name.substring(0, name.indexOf('/'));
        Path whole = whole(group);
        Path there = whole == null ? null : whole.resolve(name.substring(group.length() + 1));
        if (there != null && Files.exists(there)) {
            return there;
        }
        Path home = folder.resolve(name);
        if (Files.notExists(home)) {
            unpack(group, name, home);
        }
        return home;
    }

    /** What PEFT computed with a merged model; the committed cases hold what it computed with the adapter beside its base. */
    static DoubleTensor mergedLogits(SafetensorsFile io, String adapter) {
        return DoubleTensor.of(
                io.find(adapter + ".merged_logits").orElseGet(() -> io.tensor(adapter + ".adapter_logits")));
    }

    private static Path whole(String group) {
        String named = System.getenv(group.equals(FIXTURES) ? "ADAPT_FIXTURES" : "ADAPT_CASES");
        Path whole = named == null ? null : group.equals(FIXTURES) ? Path.of(named) : Path.of(named, group);
        return whole == null || Files.notExists(whole) ? null : whole;
    }

    private static JsonNode described(String group) throws IOException {
        try (InputStream resource = StoredCases.class.getResourceAsStream("/cases/" + group + ".json")) {
            return JSON.readTree(Objects.requireNonNull(resource, group));
        }
    }

    private static void unpack(String group, String name, Path home) throws IOException {
        JsonNode all = described(group);
        JsonNode files = all.path(name);
        if (files.isMissingNode()) {
            throw new IllegalArgumentException(name + " is not among the committed cases");
        }
        try (Contents contents = new Contents(GROUPS.subList(0, GROUPS.indexOf(group) + 1))) {
            for (Map.Entry<String, JsonNode> file : files.properties()) {
                Path path = home.resolve(file.getKey());
                Files.createDirectories(path.getParent());
                Files.write(path, bytes(all, files, file.getValue(), contents));
            }
        }
    }

    /** A file's own description, where it is the same as another file. */
    private static JsonNode described(JsonNode all, JsonNode file) {
        if (!file.has("same")) {
            return file;
        }
        String[] path = file.path("same").asText().split("/", 3);
        return all.path(path[0] + "/" + path[1]).path(path[2]);
    }

    private static byte[] bytes(JsonNode all, JsonNode files, JsonNode stored, Contents contents) throws IOException {
        JsonNode file = described(all, stored);
        if (file.has("text")) {
            return file.path("text").asText().getBytes(StandardCharsets.UTF_8);
        }
        if (file.has("bytes")) {
            return contents.of(file.path("bytes").asText());
        }
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        if (file.has("header")) {
            for (JsonNode key : file.path("contents")) {
                data.writeBytes(contents.of(key.asText()));
            }
            return safetensors(file.path("header").asText(), data.toByteArray());
        }
        ObjectNode header = JSON.createObjectNode();
        if (file.has("metadata")) {
            header.set("__metadata__", file.path("metadata"));
        }
        Map<String, String> tensors = new LinkedHashMap<>();
        if (file.has("like")) {
            JsonNode like = described(all, files.path(file.path("like").asText()));
            put(like.path("tensors"), tensors);
        }
        put(file.path("tensors"), tensors);
        for (Map.Entry<String, String> tensor : tensors.entrySet()) {
            String value = tensor.getValue();
            ObjectNode entry = header.putObject(tensor.getKey());
            String dtype = value.substring(0, value.indexOf(' '));
            entry.put("dtype", dtype);
            entry.set("shape", JSON.readTree(value.substring(value.indexOf('['), value.indexOf(']') + 1)));
            byte[] content = contents.of(dtype, entry.path("shape"), value.substring(value.lastIndexOf(' ') + 1));
            entry.putArray("data_offsets").add(data.size()).add(data.size() + content.length);
            data.writeBytes(content);
        }
        String text = header.toString();
        int length = text.getBytes(StandardCharsets.UTF_8).length;
        return safetensors(text + " ".repeat(Math.floorMod(-length, 8)), data.toByteArray());
    }

    private static void put(JsonNode described, Map<String, String> tensors) {
        described
                .properties()
                .forEach(
                        tensor -> tensors.put(tensor.getKey(), tensor.getValue().asText()));
    }

    private static byte[] safetensors(String header, byte[] data) {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + text.length + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(text.length)
                .put(text)
                .put(data)
                .array();
    }

    /** What the tensors of groups hold, by key. */
    private static final class Contents implements AutoCloseable {
        private static final String FILL = "fill:";

        private final List<SafetensorsFile> files = new ArrayList<>();

        Contents(List<String> groups) throws IOException {
            for (String group : groups) {
                files.add(SafetensorsFile.open(resource("/cases/" + group + ".safetensors")));
            }
        }

        private static Path resource(String name) {
            try {
                return Path.of(Objects.requireNonNull(StoredCases.class.getResource(name), name)
                        .toURI());
            } catch (URISyntaxException e) {
                throw new IllegalArgumentException(name, e);
            }
        }

        byte[] of(String key) {
            return files.stream()
                    .flatMap(file -> file.find(key).stream())
                    .findFirst()
                    .map(tensor -> tensor.data().toArray(ValueLayout.JAVA_BYTE))
                    .orElseThrow(() -> new IllegalArgumentException("no content " + key));
        }

        byte[] of(String dtype, JsonNode shape, String key) {
            if (!key.startsWith(FILL)) {
                return of(key);
            }
            int elements = 1;
            for (JsonNode dim : shape) {
                elements *= dim.asInt();
            }
            return drawn(Dtype.valueOf(dtype), elements, Long.parseUnsignedLong(key.substring(FILL.length()), 16));
        }

        /** Values that stand for those of a tensor that no check reads but to see that it is unchanged. */
        private static byte[] drawn(Dtype dtype, int elements, long seed) {
            Random random = new Random(seed);
            ByteBuffer values = ByteBuffer.allocate(Math.multiplyExact(elements, dtype.bits() / 8))
                    .order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < elements; i++) {
                float value = random.nextFloat() - 0.5f;
                switch (dtype) {
                    case F32 -> values.putFloat(value);
                    case BF16 -> values.putShort((short) (Float.floatToRawIntBits(value) >>> 16));
                    case F16 -> values.putShort(Float.floatToFloat16(value));
                    default -> throw new IllegalArgumentException(dtype + " is not drawn");
                }
            }
            return values.array();
        }

        @Override
        public void close() {
            for (SafetensorsFile file : files) {
                file.close();
            }
        }
    }
}
