package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Unmerging what an adapter with a tokenizer was merged into")
class UnmergedTokenizerTest {
    private static final byte[] NO_TEXT = {(byte) 0xff, 0, (byte) 0xfe, 10};

    @TempDir
    private Path folder;

    @Test
    @DisplayName("gives back each file of the base, byte for byte")
    void restores() throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        // bytes that a writer of JSON would change
        Files.writeString(
                base.resolve("config.json"), "\ufeff" + Files.readString(base.resolve("config.json")) + "\n\n");
        Files.writeString(base.resolve("vocab.txt"), "the base's\r\nwords");
        Files.write(base.resolve("tokenizer.model"), NO_TEXT);
        Files.writeString(base.resolve("README.md"), "the base's");
        Path adapter = adapter(base);
        Path merged = folder.resolve("merged");
        Path undo = folder.resolve("undo");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged, "--undo", undo);
        for (String name : List.of("tokenizer.json", "vocab.txt", "tokenizer.model", "special_tokens_map.json")) {
            assertEquals(
                    Sha256.hex(Files.readAllBytes(adapter.resolve(name))),
                    Sha256.hex(Files.readAllBytes(merged.resolve(name))),
                    name);
        }
        Path back = folder.resolve("back");
        Cli.succeeds("unmerge", merged, "--undo", undo, "--out", back);
        assertEquals(contents(base), contents(back));
        // the folders hold what these commands write, and may be replaced
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged, "--undo", undo, "--overwrite");
        Cli.succeeds("unmerge", merged, "--undo", undo, "--out", back, "--overwrite");
        assertEquals(contents(base), contents(back));
    }

    @Test
    @DisplayName("leaves out a tokenizer where the base has none")
    void addsNone() throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        Path adapter = adapter(base);
        Files.delete(base.resolve("tokenizer.json"));
        Path merged = folder.resolve("merged");
        Path undo = folder.resolve("undo");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged, "--undo", undo);
        assertTrue(Files.exists(merged.resolve("tokenizer.json")));
        Path back = folder.resolve("back");
        Cli.succeeds("unmerge", merged, "--undo", undo, "--out", back);
        assertEquals(contents(base), contents(back));
    }

    /** An adapter of the word embeddings, with three words more than the base and their tokenizer. */
    private Path adapter(Path base) throws IOException {
        Path adapter = Files.createDirectory(folder.resolve("adapter"));
        String words = "embeddings.word_embeddings.weight";
        Shape shape;
        try (Checkpoint opened = Checkpoint.open(base)) {
            shape = opened.tensors().entrySet().stream()
                    .filter(tensor -> tensor.getKey().endsWith(words))
                    .findFirst()
                    .orElseThrow()
                    .getValue()
                    .shape();
        }
        Shape grown = Shape.of(shape.dim(0) + 3, shape.dim(1));
        float[] values = new float[(int) grown.elements()];
        Arrays.fill(values, 0.25f);
        String query = "base_model.model.encoder.layer.0.attention.self.query.lora_";
        FloatTensor factor = new FloatTensor(Shape.of(2, TinyBert.HIDDEN), new float[2 * TinyBert.HIDDEN]);
        SafetensorsWriter.write(
                adapter.resolve("adapter_model.safetensors"),
                Map.of(
                        query + "A.weight", factor,
                        query + "B.weight", new FloatTensor(Shape.of(TinyBert.HIDDEN, 2), factor.values()),
                        "base_model.model." + words, new FloatTensor(grown, values)),
                Map.of());
        Files.writeString(
                adapter.resolve("adapter_config.json"),
                new JsonMapper()
                        .writeValueAsString(
                                Map.of("peft_type", "LORA", "r", 2, "modules_to_save", List.of("word_embeddings"))));
        Files.copy(base.resolve("tokenizer.json"), adapter.resolve("tokenizer.json"));
        Files.writeString(adapter.resolve("vocab.txt"), "the adapter's words");
        Files.writeString(adapter.resolve("special_tokens_map.json"), "{}");
        Files.write(adapter.resolve("tokenizer.model"), "no text\u0000".getBytes(StandardCharsets.UTF_16));
        return adapter;
    }

    private static Map<String, String> contents(Path tree) throws IOException {
        Map<String, String> contents = new TreeMap<>();
        try (Stream<Path> files = Files.list(tree)) {
            for (Path file : files.toList()) {
                contents.put(String.valueOf(file.getFileName()), Sha256.hex(Files.readAllBytes(file)));
            }
        }
        return contents;
    }
}
