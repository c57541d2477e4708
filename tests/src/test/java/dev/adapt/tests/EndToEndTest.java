package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.safetensors.SafetensorsFile;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("From an ONNX file and a data file to a verified model, on a real pretrained encoder")
class EndToEndTest {
    @TempDir
    private static Path folder;

    private static Path base;
    private static Path data;

    @BeforeAll
    static void importBase() throws IOException {
        base = folder.resolve("base");
        Path model = resource("/all-minilm-l6-v2.onnx");
        Path tokenizer = resource("/all-minilm-l6-v2-tokenizer.json");
        assertDone("import-onnx", model, "--tokenizer", tokenizer, "--out", base);
        data = Files.writeString(folder.resolve("data.tsv"), weatherOrFood(64));
    }

    private static Path resource(String name) throws IOException {
        try (InputStream in = Objects.requireNonNull(EndToEndTest.class.getResourceAsStream(name))) {
            Path file = folder.resolve(name.substring(1));
            Files.copy(in, file);
            return file;
        }
    }

    /** Sentences of two subjects, put together by chance: enough to learn from, whatever the seed. */
    private static String weatherOrFood(int count) {
        String[][] words = {
            {"rain", "snow", "wind", "sunshine", "fog", "thunder", "hail", "frost"},
            {"soup", "bread", "cheese", "noodles", "apples", "rice", "salad", "pancakes"}
        };
        String[] frames = {"we had %s all day", "she likes %s best", "there was too much %s", "no %s until friday"};
        Random random = new Random(7);
        StringBuilder lines = new StringBuilder("text\tlabel\n");
        for (int i = 0; i < count; i++) {
            String word = words[i % 2][random.nextInt(8)];
            lines.append(frames[random.nextInt(4)].formatted(word)).append(i % 2 == 0 ? "\tweather\n" : "\tfood\n");
        }
        return lines.toString();
    }

    @ParameterizedTest(name = "{0}, rank {1}")
    @CsvSource({"lora, 4", "vera, 64"})
    void wholePath(String method, int rank) throws IOException {
        Path adapter = folder.resolve(method);
        Path merged = folder.resolve(method + "-merged");
        Path onnx = merged.resolve("model.onnx");
        assertDone(
                "train",
                "--base",
                base,
                "--method",
                method,
                "--rank",
                rank,
                "--target",
                "query,value",
                "--task",
                "classification",
                "--data",
                data,
                "--eval",
                data,
                "--epochs",
                2,
                "--batch-size",
                16,
                "--out",
                adapter);
        assertTrue(Files.exists(adapter.resolve("training.jsonl")));
        assertTrue(Files.exists(adapter.resolve("summary.json")));
        assertDone("inspect", adapter);
        assertDone("merge", adapter, "--into", base, "--out", merged);
        assertDone("export-onnx", merged, "--out", onnx);
        assertTrue(Files.size(onnx) < 500_000, "the graph alone is small");
        assertDone("verify", "--base", base, "--adapter", adapter, "--merged", merged, "--onnx", onnx);
    }

    @Test
    @DisplayName("A VeRA adapter holds vectors only; a LoRA's merged model is not the VeRA's")
    void failsWhereItMust() throws IOException {
        Path vera = folder.resolve("small-vera");
        assertDone(
                "train",
                "--base",
                base,
                "--method",
                "vera",
                "--rank",
                32,
                "--target",
                "query",
                "--task",
                "classification",
                "--data",
                data,
                "--eval",
                data,
                "--epochs",
                1,
                "--out",
                vera);
        try (SafetensorsFile file = SafetensorsFile.open(vera.resolve("adapter_model.safetensors"))) {
            file.tensors().stream()
                    .filter(tensor -> !tensor.name().contains("classifier"))
                    .forEach(tensor -> assertEquals(1, tensor.shape().rank(), tensor.name()));
        }
        Path merged = folder.resolve("small-vera-merged");
        assertDone("merge", vera, "--into", base, "--out", merged);
        assertEquals(
                3,
                Cli.run("merge", vera, "--into", merged, "--out", folder.resolve("twice"))
                        .exitCode());
        assertFalse(Files.exists(folder.resolve("twice")));

        Path other = folder.resolve("other-vera");
        assertDone(
                "train",
                "--base",
                base,
                "--method",
                "vera",
                "--rank",
                32,
                "--target",
                "query",
                "--task",
                "classification",
                "--data",
                data,
                "--eval",
                data,
                "--epochs",
                1,
                "--seed",
                2,
                "--out",
                other);
        Cli verdict = Cli.run("verify", "--base", base, "--adapter", other, "--merged", merged);
        assertEquals(4, verdict.exitCode(), verdict.errors());
    }

    private static void assertDone(Object... args) {
        Cli result = Cli.run(args);
        assertEquals(0, result.exitCode(), result.errors());
    }
}
