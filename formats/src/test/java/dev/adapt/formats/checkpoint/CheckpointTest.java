package dev.adapt.formats.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("A checkpoint is one file, or shards that agree with their index")
class CheckpointTest {
    @TempDir
    private Path root;

    private Path folder;

    @BeforeEach
    void shards() throws IOException {
        folder = Files.createDirectory(root.resolve("model"));
        write(folder.resolve("one.safetensors"), "a", "b");
        write(folder.resolve("two.safetensors"), "c");
        index("{\"metadata\":{\"total_size\":12},\"weight_map\":"
                + "{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\",\"c\":\"two.safetensors\"}}");
    }

    @Test
    @DisplayName("shards are read by their index")
    void reads() throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertEquals(Set.of("a", "b", "c"), checkpoint.tensors().keySet());
            assertEquals(2, checkpoint.files().size());
            assertEquals(12, checkpoint.index().orElseThrow().totalSize().orElseThrow());
            assertEquals(List.of(), checkpoint.notes());
        }
    }

    @Test
    @DisplayName("of a single file and shards in one folder the single file is read, and that is said")
    void both() throws IOException {
        write(folder.resolve("model.safetensors"), "x");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertEquals(Set.of("x"), checkpoint.tensors().keySet());
            assertTrue(checkpoint.index().isEmpty());
            assertTrue(checkpoint.notes().getFirst().contains("the single file is read"), checkpoint.notes()::toString);
        }
    }

    @Test
    @DisplayName("a total_size that is off is said and nothing more, as for transformers")
    void totalSize() throws IOException {
        index("{\"metadata\":{\"total_size\":13.0},\"weight_map\":"
                + "{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\",\"c\":\"two.safetensors\"}}");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertTrue(checkpoint.notes().getFirst().contains("have 13 bytes, they have 12"));
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            {"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"} | b: is said to lie in two.safetensors, but lies in one.safetensors
            {"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors","d":"two.safetensors"} | d: is said to lie in two.safetensors, which does not hold it
            {"a":"one.safetensors","c":"two.safetensors"} | b: lies in this shard, but is missing in the weight_map
            {"a":"../one.safetensors"} | a: lies in "../one.safetensors": expected the plain name
            {"a":"/etc/passwd"}        | a: lies in "/etc/passwd": expected the plain name
            {"a":"C:one.safetensors"}  | a: lies in "C:one.safetensors": expected the plain name
            {"a":"sub\\\\one"}         | a: lies in "sub\\one": expected the plain name
            {"a":"sub/one"}            | a: lies in "sub/one": expected the plain name
            {"a":".."}                 | a: lies in "..": expected the plain name
            {"a":"."}                  | a: lies in ".": expected the plain name
            {"a":""}                   | a: lies in "": expected the plain name
            {"a":"one\\u0000"}         | a: lies in "one?": expected the plain name
            {"a":7}                    | a: expected the name of the file that holds it, found 7
            {"a":null}                 | a: expected the name of the file that holds it, found null
            {}                         | weight_map: expected an object that gives each tensor its file
            []                         | weight_map: expected an object that gives each tensor its file
            {"a":"one.safetensors","a":"one.safetensors"} | is not valid JSON: Duplicate field 'a'
            """)
    void refuses(String weightMap, String expected) throws IOException {
        index("{\"weight_map\":" + weightMap + "}");
        FormatException refusal = assertThrows(FormatException.class, () -> Checkpoint.open(folder));
        assertTrue(refusal.getMessage().contains(expected), refusal.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "[]", "{", "{} {}", "{\"weight_map\":{\"a\":\"b\"},\"metadata\":7}"})
    void isNoIndex(String json) throws IOException {
        index(json);
        assertThrows(FormatException.class, () -> Checkpoint.open(folder));
    }

    @Test
    @DisplayName("a tensor in two shards")
    void twice() throws IOException {
        write(folder.resolve("two.safetensors"), "b", "c");
        FormatException refusal = assertThrows(FormatException.class, () -> Checkpoint.open(folder));
        assertTrue(refusal.getMessage().contains("b: stands in another shard too"), refusal.getMessage());
    }

    @Test
    @DisplayName("a shard that does not exist")
    void missingShard() throws IOException {
        Files.delete(folder.resolve("two.safetensors"));
        NoSuchFileException refusal = assertThrows(NoSuchFileException.class, () -> Checkpoint.open(folder));
        assertTrue(refusal.getMessage().contains("two.safetensors"), refusal.getMessage());
    }

    @Test
    @DisplayName("a link to a file elsewhere is refused, one within the folder is not")
    void links() throws IOException {
        Path two = folder.resolve("two.safetensors");
        Path inside = folder.resolve("blob");
        Files.move(two, inside);
        Files.createSymbolicLink(two, Path.of("blob"));
        Checkpoint.open(folder).close();
        Files.move(inside, root.resolve("elsewhere"));
        Files.delete(two);
        Files.createSymbolicLink(two, Path.of("../elsewhere"));
        FormatException refusal = assertThrows(FormatException.class, () -> Checkpoint.open(folder));
        assertTrue(refusal.getMessage().contains("two.safetensors: is a link out of its folder"), refusal.getMessage());
    }

    @Test
    @DisplayName("the links of huggingface_hub's cache, from snapshots to blobs of the same model, are followed")
    void hubCache() throws IOException {
        Path model = root.resolve("models--x--y");
        Path blobs = Files.createDirectories(model.resolve("blobs"));
        Path revision = Files.createDirectories(model.resolve("snapshots/0123abcd"));
        try (var files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Path blob = blobs.resolve("sha-of-" + file.getFileName());
                Files.move(file, blob);
                Files.createSymbolicLink(
                        revision.resolve(file.getFileName()),
                        Path.of("../../blobs").resolve(blob.getFileName()));
            }
        }
        try (Checkpoint checkpoint = Checkpoint.open(revision)) {
            assertEquals(3, checkpoint.tensors().size());
        }
    }

    @Test
    @DisplayName("tokenizer and settings belong to a checkpoint, weights of any kind do not")
    void companions() throws IOException {
        for (String name :
                List.of("tokenizer.json", "vocab.txt", "tok512.bin", "pytorch_model.bin", "model.onnx", ".x")) {
            Files.writeString(folder.resolve(name), "x");
        }
        for (String name : List.of("pytorch_model.bin.index.json", "tf_model.h5", "consolidated.00.pth")) {
            Files.writeString(folder.resolve(name), "x");
        }
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertEquals(
                    List.of("tok512.bin", "tokenizer.json", "vocab.txt"),
                    checkpoint.companions().files().stream()
                            .map(file -> file.getFileName().toString())
                            .toList());
        }
    }

    @Test
    @DisplayName("the subfolders that modules.json names are copied, others are not")
    void subfolders() throws IOException {
        Files.writeString(
                folder.resolve("modules.json"),
                "[{\"idx\": 0, \"path\": \"\"}, {\"idx\": 1, \"path\": \"1_Pooling\"}]");
        for (String name : List.of("1_Pooling", "other")) {
            Files.writeString(Files.createDirectory(folder.resolve(name)).resolve("config.json"), "{}");
        }
        Path copy = Files.createDirectory(root.resolve("copy"));
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            checkpoint.copyCompanions(copy);
        }
        assertTrue(Files.exists(copy.resolve("1_Pooling").resolve("config.json")));
        assertTrue(Files.notExists(copy.resolve("other")));
        Files.writeString(folder.resolve("modules.json"), "[{\"path\": \"../other\"}]");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            Path second = Files.createDirectory(root.resolve("second"));
            assertThrows(FormatException.class, () -> checkpoint.copyCompanions(second));
        }
    }

    @Test
    @DisplayName("a folder with pickled weights only is told what to do")
    void pickled() throws IOException {
        Path other = Files.createDirectory(root.resolve("pickled"));
        Files.writeString(other.resolve("pytorch_model.bin"), "x");
        NoSuchFileException refusal = assertThrows(NoSuchFileException.class, () -> Checkpoint.open(other));
        assertTrue(
                refusal.getMessage().contains("holds its weights as pytorch_model.bin, a pickle"),
                refusal.getMessage());
    }

    @Test
    @DisplayName("an index that is written is read as it was")
    void writtenIndex() {
        ShardIndex index = ShardIndex.of(
                Map.of("b", "one.safetensors", "a", "two.safetensors"),
                8,
                new JsonMapper().createObjectNode().put("total_parameters", 2));
        ShardIndex back =
                ShardIndex.parse(Path.of("i.json"), index.text().getBytes(java.nio.charset.StandardCharsets.UTF_8));
        assertEquals(List.of("a", "b"), List.copyOf(back.weightMap().keySet()));
        assertEquals(8, back.totalSize().orElseThrow());
        assertEquals(2, back.metadata().get("total_parameters").intValue());
    }

    private void index(String json) throws IOException {
        Files.writeString(folder.resolve(Checkpoint.INDEX), json);
    }

    private static void write(Path file, String... names) throws IOException {
        Map<String, FloatTensor> tensors = new TreeMap<>();
        for (String name : names) {
            tensors.put(name, new FloatTensor(Shape.of(1), new float[] {name.charAt(0)}));
        }
        SafetensorsWriter.write(file, tensors, Map.of("format", "pt"));
    }
}
