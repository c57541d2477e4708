package dev.adapt.merge.undo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.Merger;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("An undo file from a stranger")
class UndoTest {
    private static final int TAIL = Long.BYTES + Undo.MAGIC.length();
    private static final int WIDTH = 64;

    @TempDir
    private Path outside;

    private Path base = Path.of("");
    private Path merged = Path.of("");
    private Path undo = Path.of("");
    private Path out = Path.of("");

    @BeforeEach
    void merge() throws IOException {
        base = Files.createDirectory(outside.resolve("base"));
        merged = outside.resolve("merged");
        undo = outside.resolve("merged.undo");
        out = outside.resolve("back");
        Path adapter = Files.createDirectory(outside.resolve("adapter"));
        write(base.resolve("model-1.safetensors"), "a.weight", WIDTH);
        write(base.resolve("model-2.safetensors"), "b.weight", WIDTH);
        Files.writeString(
                base.resolve(Checkpoint.INDEX),
                "{\"weight_map\": {\"a.weight\": \"model-1.safetensors\", \"b.weight\": \"model-2.safetensors\"}}");
        Files.writeString(base.resolve("tokenizer.json"), "{}");
        SafetensorsWriter.write(
                adapter.resolve("adapter_model.safetensors"),
                Map.of(
                        "base_model.model.a.lora_A.weight", values(4, WIDTH),
                        "base_model.model.a.lora_B.weight", values(WIDTH, 4)),
                Map.of());
        Files.writeString(adapter.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\", \"r\": 4}");
        try (Checkpoint opened = Checkpoint.open(base)) {
            MergePlan.Weighted weighted =
                    new MergePlan.Weighted(new Binding(opened).bind(Adapter.read(adapter), false), 1);
            // only now: the adapter would be bound to an architecture
            Files.writeString(base.resolve("config.json"), "{\"model_type\": \"unheard-of\"}");
            new Merger(
                            opened,
                            List.of(weighted),
                            Merger.Settings.of(1).flush(false).undo(undo))
                    .merge(merged);
        }
        Files.writeString(outside.resolve("key"), "secret");
    }

    private static void write(Path file, String tensor, int width) throws IOException {
        SafetensorsWriter.write(file, Map.of(tensor, values(width, width)), Map.of());
    }

    private static FloatTensor values(int rows, int columns) {
        Random random = new Random(rows);
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(Shape.of(rows, columns), values);
    }

    @Test
    @DisplayName("that is sound restores the base")
    void restores() throws IOException {
        assertFalse(state(base).equals(state(merged)), "nothing was merged");
        unmerge();
        assertEquals(state(base), state(out));
    }

    @Test
    @DisplayName("of version 1, which knew no tokenizers, is read")
    void older() throws IOException {
        byte[] whole = Files.readAllBytes(undo);
        ObjectNode root = (ObjectNode) new JsonMapper().readTree(json(whole));
        root.put("version", 1).remove(List.of("tokenizer", "added"));
        Files.write(undo, with(whole, new JsonMapper().writeValueAsBytes(root)));
        unmerge();
        assertEquals(state(base), state(out));
    }

    static Stream<Arguments> attacks() {
        return Stream.of(
                attack("a script as text", root -> texts(root).put("run.sh", "{}"), "nothing beside weights but"),
                attack("a text outside", root -> texts(root).put("../key", "{}"), "nothing beside weights but"),
                attack("an absolute text", root -> texts(root).put("/tmp/adapt-key", "{}"), "nothing beside weights"),
                attack("a text by detour", root -> texts(root).put("./config.json", "{}"), "nothing beside weights"),
                attack("a config that is none", root -> texts(root).put("config.json", "#!/bin/sh"), "JSON"),
                attack("a text that is null", root -> texts(root).putNull("config.json"), "broken undo file"),
                attack("a text that is a number", root -> texts(root).put("config.json", 5), "one JSON object"),
                attack("no index", root -> texts(root).remove(Checkpoint.INDEX), "or shards with their index"),
                attack("an index of other shards", root -> index(root, "x-1.safetensors"), "found others"),
                attack("a shard outside", root -> named(root, "../model-1.safetensors"), "plain name"),
                attack("an absolute shard", root -> named(root, "/tmp/model-1.safetensors"), "plain name"),
                attack("a shard in a folder", root -> named(root, "a/b.safetensors"), "plain name"),
                attack("a shard that is a script", root -> named(root, "run.sh"), "ends with .safetensors"),
                attack("a shard called config.json", root -> named(root, "config.json"), "ends with .safetensors"),
                attack("a shard without a name", root -> named(root, ""), "plain name"),
                attack(
                        "a shard twice",
                        root -> files(root).add(file(root).deepCopy()),
                        "lies in two files|does not lie in the file"),
                attack("no files", root -> root.putArray("files"), "found others"),
                attack("files that are null", root -> root.putNull("files"), "broken undo file"),
                attack("a file that is null", root -> root.putArray("files").addNull(), "broken undo file"),
                attack("a file of nothing", root -> root.putArray("files").addObject(), "broken undo file"),
                attack("no texts", root -> root.remove("texts"), "broken undo file"),
                attack(
                        "a script as tokenizer",
                        root -> tokenizer(root).put("run.sh", "eA=="),
                        "no file that an adapter brings"),
                attack(
                        "a tokenizer outside",
                        root -> tokenizer(root).put("../vocab.txt", "eA=="),
                        "no file that an adapter brings"),
                attack("a tokenizer of text", root -> tokenizer(root).put("vocab.txt", "?"), "broken undo file"),
                attack("a tokenizer of null", root -> tokenizer(root).putNull("vocab.txt"), "broken undo file"),
                attack("weights left out", root -> added(root).add("model-1.safetensors"), "is to be left out"),
                attack("a file left out", root -> added(root).add("README.md"), "is to be left out"),
                attack("a null left out", root -> added(root).addNull(), "broken undo file"),
                attack("a file both ways", UndoTest::bothWays, "is to be left out"),
                attack("an older one with a tokenizer", root -> root.put("version", 1), "broken undo file"),
                attack("no header", root -> file(root).put("header", ""), "too small"),
                attack("a header that is text", root -> file(root).put("header", "AAAAAAAAAAAA"), "header"),
                attack("a header with more", UndoTest::longer, "says another length"),
                attack("no tensors", root -> file(root).putArray("tensors"), "extra bytes|missing|truncated|tensors"),
                attack("a huge tensor", root -> tensor(root).put("bytes", 1L << 62), "extra bytes"),
                attack("sizes that overflow", root -> tensor(root).put("bytes", Long.MAX_VALUE), "impossible size"),
                attack("a negative size", root -> tensor(root).put("bytes", -1), "impossible size"),
                attack("another dtype", root -> tensor(root).put("dtype", "F64"), "header describes"),
                attack("an unknown dtype", root -> tensor(root).put("dtype", "\u001b[2J"), "header describes"),
                attack("another shape", root -> tensor(root).putArray("shape").add(-1), "header describes"),
                attack(
                        "a shape of fractions",
                        root -> tensor(root).putArray("shape").add(1.5),
                        "broken undo"),
                attack("a shape of null", root -> tensor(root).putArray("shape").addNull(), "broken undo file"),
                attack("a digest that is none", root -> tensor(root).put("sha256", "00"), "none of SHA-256"),
                attack("no digest", root -> tensor(root).put("sha256", ""), "no digest"),
                attack("another base's digest", root -> tensor(root).put("sha256", "0".repeat(64)), "is damaged"),
                attack("another merge", root -> tensor(root).put("merged_sha256", "0".repeat(64)), "SHA-256 differs"),
                attack("no frames", root -> tensor(root).putArray("frames"), "its frames hold 0"),
                attack(
                        "a frame that is null",
                        root -> tensor(root).putArray("frames").addNull(),
                        "broken undo"),
                attack("a bomb", root -> frame(root).put("bytes", Integer.MAX_VALUE), "expected at most 16384"),
                attack("a frame of less than nothing", root -> frame(root).put("bytes", -4), "a frame holds -4"),
                attack("half an element", root -> frame(root).put("bytes", 3), "a frame holds 3"),
                attack("a frame that declares less", root -> split(root, 8192), "is damaged"),
                attack("a frame elsewhere", root -> frame(root).put("offset", 4), "from 4, expected"),
                attack("a frame before the file", root -> frame(root).put("position", -1), "does not lie in the file"),
                attack("a frame after it", root -> frame(root).put("position", Long.MAX_VALUE), "does not lie in"),
                attack("a frame too long", root -> frame(root).put("length", Integer.MAX_VALUE), "does not lie in"),
                attack("a frame without bytes", root -> frame(root).put("length", 0), "does not lie in the file"),
                attack("a frame of garbage", root -> frame(root).put("length", 40), "is damaged"),
                attack("frames in one place", UndoTest::stacked, "does not lie in the file"),
                attack("another version", root -> root.put("version", 9), "version 9"),
                attack("a version in words", root -> root.put("version", "1"), "broken undo file"),
                attack("another field", root -> root.put("\u001b[31m\n".repeat(99), 1), "broken undo file"));
    }

    private static Arguments attack(String name, Consumer<ObjectNode> change, String reason) {
        return Arguments.of(name, change, reason);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("attacks")
    @DisplayName("is refused in one sentence that names it, and nothing is written")
    void isRefused(String name, Consumer<ObjectNode> change, String reason) throws IOException {
        Map<String, String> before = state(outside);
        byte[] whole = Files.readAllBytes(undo);
        ObjectNode root = (ObjectNode) new JsonMapper().readTree(json(whole));
        change.accept(root);
        Files.write(undo, with(whole, new JsonMapper().writeValueAsBytes(root)));
        assertRefused(reason);
        Files.write(undo, whole);
        assertEquals(before, state(outside));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "null",
                "[]",
                "5",
                "\"x\"",
                "",
                "{",
                "{}",
                "{\0\0\0{\"ue",
                "{\"version\":1,\"version\":1}",
                "{\"version\":1,\"files\":[],\"texts\":{\"config.json\":\"{}\",\"config.json\":\"{}\"}}"
            })
    @DisplayName("whose description is none is refused")
    void describesNothing(String text) throws IOException {
        byte[] whole = Files.readAllBytes(undo);
        Files.write(undo, with(whole, text.getBytes(StandardCharsets.UTF_8)));
        assertRefused("undo file");
        Files.write(undo, with(whole, ("[".repeat(1 << 16) + text).getBytes(StandardCharsets.UTF_8)));
        assertRefused("undo file");
    }

    @ParameterizedTest
    @ValueSource(longs = {-1, 0, 1, 1L << 27, (1L << 27) + 1, Integer.MAX_VALUE, 1L << 40, Long.MAX_VALUE})
    @DisplayName("that says another length, or is cut, is refused before room is made for it")
    void isCut(long length) throws IOException {
        byte[] whole = Files.readAllBytes(undo);
        ByteBuffer.wrap(whole).order(ByteOrder.LITTLE_ENDIAN).putLong(whole.length - TAIL, length);
        Files.write(undo, whole);
        assertRefused("undo file");
        Files.write(undo, Arrays.copyOf(whole, (int) (whole.length - 1 - (length & 0xff))));
        assertRefused("is not an undo file");
    }

    @Test
    @DisplayName("that is no file at all is refused")
    void isNoFile() throws IOException {
        Files.delete(undo);
        Files.createDirectory(undo);
        assertRefused("is a folder, expected a file");
    }

    private void assertRefused(String reason) {
        FormatException thrown = assertThrows(FormatException.class, this::unmerge);
        String message = thrown.getMessage();
        assertTrue(message.startsWith(undo.toString()) || message.contains(undo.toString()), message);
        assertTrue(Stream.of(reason.split("\\|", -1)).anyMatch(message::contains), () -> message + " lacks " + reason);
        assertTrue(message.length() < 1000 && message.chars().noneMatch(c -> c < ' '), message);
        assertFalse(Files.exists(out));
    }

    private void unmerge() throws IOException {
        try (Checkpoint opened = Checkpoint.open(merged);
                Unmerger unmerger = new Unmerger(opened, undo)) {
            unmerger.unmerge(out);
        }
    }

    private static byte[] json(byte[] undo) {
        int end = undo.length - TAIL;
        int length = (int) ByteBuffer.wrap(undo).order(ByteOrder.LITTLE_ENDIAN).getLong(end);
        return Arrays.copyOfRange(undo, end - length, end);
    }

    /** The file's frames with another description. */
    private static byte[] with(byte[] undo, byte[] json) {
        int frames = undo.length - TAIL - json(undo).length;
        ByteBuffer whole = ByteBuffer.allocate(frames + json.length + TAIL).order(ByteOrder.LITTLE_ENDIAN);
        whole.put(undo, 0, frames).put(json).putLong(json.length);
        return whole.put(Undo.MAGIC.getBytes(StandardCharsets.US_ASCII)).array();
    }

    private static ArrayNode files(ObjectNode root) {
        return root.withArray("files");
    }

    private static ObjectNode texts(ObjectNode root) {
        return (ObjectNode) root.get("texts");
    }

    private static ObjectNode tokenizer(ObjectNode root) {
        return (ObjectNode) root.get("tokenizer");
    }

    private static ArrayNode added(ObjectNode root) {
        return root.withArray("added");
    }

    private static void bothWays(ObjectNode root) {
        tokenizer(root).put("vocab.txt", "eA==");
        added(root).add("vocab.txt");
    }

    private static ObjectNode file(ObjectNode root) {
        return (ObjectNode) files(root).get(0);
    }

    private static ObjectNode tensor(ObjectNode root) {
        return (ObjectNode) file(root).get("tensors").get(0);
    }

    private static ObjectNode frame(ObjectNode root) {
        return (ObjectNode) tensor(root).get("frames").get(0);
    }

    private static void index(ObjectNode root, String shard) {
        texts(root)
                .put(
                        Checkpoint.INDEX,
                        texts(root).get(Checkpoint.INDEX).textValue().replace("model-1.safetensors", shard));
    }

    private static void named(ObjectNode root, String shard) {
        index(root, shard);
        file(root).put("name", shard);
    }

    private static void longer(ObjectNode root) {
        byte[] header = Base64.getDecoder().decode(file(root).get("header").textValue());
        file(root).put("header", Arrays.copyOf(header, header.length + 8));
    }

    private static void split(ObjectNode root, int bytes) {
        ObjectNode second = frame(root).deepCopy();
        frame(root).put("bytes", bytes).put("length", 10);
        second.put("offset", bytes)
                .put("bytes", second.get("bytes").intValue() - bytes)
                .put("length", 10);
        tensor(root).withArray("frames").add(second);
    }

    /** Frames that all lie in the same bytes of the file. */
    private static void stacked(ObjectNode root) {
        ObjectNode first = frame(root);
        int count = first.get("bytes").intValue() / 4;
        ArrayNode frames = tensor(root).putArray("frames");
        for (int i = 0; i < count; i++) {
            frames.add(first.deepCopy().put("bytes", 4).put("offset", 4 * i).put("length", 100));
        }
    }

    private static Map<String, String> state(Path tree) throws IOException {
        Map<String, String> state = new TreeMap<>();
        try (Stream<Path> all = Files.walk(tree)) {
            for (Path path : all.toList()) {
                state.put(
                        tree.relativize(path).toString(),
                        Files.isRegularFile(path) ? "" + Arrays.hashCode(Files.readAllBytes(path)) : "");
            }
        }
        return state;
    }
}
