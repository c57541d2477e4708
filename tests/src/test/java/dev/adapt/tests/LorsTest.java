package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("LORS")
class LorsTest {
    private static final int EXAMPLES = 24;

    @TempDir
    private Path folder;

    static Stream<Arguments> tasks() {
        return Stream.of(
                Arguments.of(TinyModel.BERT, "classification"),
                Arguments.of(TinyModel.GPT2, "causal-lm"),
                Arguments.of(TinyModel.VIT, "image-classification"));
    }

    @ParameterizedTest(name = "{0}, {1}")
    @MethodSource("tasks")
    @DisplayName("learns from scratch, and its merged and exported forms are the same model")
    void wholePath(TinyModel model, String task) throws IOException {
        Path config = model.write(folder.resolve("config"), 3).resolve(ModelConfig.FILE);
        Path data = data(task);
        Path lors = train(config, data, task, "lors", "--rank", "2", "--groups", "1,2");
        JsonNode summary =
                new JsonMapper().readTree(lors.resolve("summary.json").toFile());
        JsonNode scores = summary.path("epochs_scores");
        double before = scores.path(0).path("eval_loss").asDouble();
        double after = scores.path(summary.path("best_epoch").asInt())
                .path("eval_loss")
                .asDouble();
        assertTrue(after < 0.9 * before, before + " to " + after);

        Path merged = folder.resolve("merged");
        Path onnx = merged.resolve("model.onnx");
        Path stacked = lors.resolve("model.onnx");
        Cli.succeeds("merge", lors, "--out", merged);
        Cli.succeeds("export-onnx", merged, "--out", onnx);
        Cli.succeeds("export-onnx", lors, "--out", stacked);
        verify("--adapter", lors, "--merged", merged, "--onnx", onnx);
        verify("--adapter", lors, "--onnx", stacked, "--no-reference");
        try (Checkpoint checkpoint = Checkpoint.open(merged)) {
            Map<String, Shape> required = Model.of(checkpoint).architecture().requiredTensors();
            assertEquals(required.size(), checkpoint.tensors().size(), "a plain model, with nothing beside it");
        }
        assertTrue(Files.notExists(merged.resolve("adapter_config.json")));
        String inspected = Cli.succeeds("inspect", lors, "--json").output();
        JsonNode size = new JsonMapper().readTree(inspected).path("adapter");
        assertEquals("LORS", size.path("method").asText());
        assertEquals("2, 4", size.path("rank").asText());
        assertTrue(size.path("trained_parameters").asLong()
                < size.path("plain_parameters").asLong());
        assertEquals(
                summary.path("adapter_parameters").asLong(),
                size.path("trained_parameters").asLong()
                        + size.path("head_parameters").asLong());
    }

    @Test
    @DisplayName("goes on from its own folder, and beside a plain model that is trained whole")
    void goesOn() throws IOException {
        Path config = TinyModel.BERT.write(folder.resolve("config"), 3).resolve(ModelConfig.FILE);
        Path tokenizer = TinyBert.write(folder.resolve("other"), 3).resolve("tokenizer.json");
        Path data = Files.writeString(
                folder.resolve("data.tsv"), "text\tlabel\n" + "a good movie\tyes\na bad book\tno\n".repeat(8));
        Path lors = train(config, data, "classification", "lors", "--rank", "2", "--tokenizer", tokenizer);
        assertTrue(Files.exists(lors.resolve("tokenizer.json")), "the folder is all there is");
        Path merged = folder.resolve("merged");
        Cli.succeeds("merge", lors, "--out", merged);
        assertTrue(Files.exists(merged.resolve("tokenizer.json")));
        assertTrue(Files.notExists(merged.resolve("summary.json")));
        Path more = folder.resolve("more");
        goOn(lors, "lors", data, more);
        assertEquals(score(lors, -1, "eval_loss"), score(more, 0, "eval_loss"), 1e-6, "it begins with the head it had");

        Path full = train(config, data, "classification", "full", "--tokenizer", tokenizer);
        assertTrue(Files.exists(full.resolve("model.safetensors")));
        Path tuned = folder.resolve("tuned");
        goOn(full, "full", data, tuned);
        assertEquals(score(full, -1, "eval_loss"), score(tuned, 0, "eval_loss"), 1e-6);
    }

    private static void goOn(Path model, String method, Path data, Path out) {
        Cli.succeeds(
                "train",
                "--base",
                model,
                "--method",
                method,
                "--data",
                data,
                "--eval",
                data,
                "--epochs",
                "1",
                "--out",
                out,
                "--device",
                "cpu");
    }

    /** A score of an epoch: the first, 0, or the kept one, -1. */
    private static double score(Path out, int epoch, String name) throws IOException {
        JsonNode summary = new JsonMapper().readTree(out.resolve("summary.json").toFile());
        int index = epoch < 0 ? summary.path("best_epoch").asInt() : epoch;
        return summary.path("epochs_scores").path(index).path(name).asDouble();
    }

    @ParameterizedTest
    @EnumSource(names = {"BERT_CLASSIFIER", "ROBERTA", "GPT2", "LLAMA", "VIT"})
    @DisplayName("of full rank is the checkpoint that was decomposed, to float32's accuracy")
    void fullRankIsTheCheckpoint(TinyModel model) throws IOException {
        Path base = model.write(folder.resolve("base"), 5);
        Path lors = folder.resolve("lors");
        Path merged = folder.resolve("merged");
        List<Object> words = new ArrayList<>(List.of("train", "--method", "lors", "--into", base, "--out", lors));
        words.addAll(List.of("--rank", 16));
        if (model == TinyModel.LLAMA) {
            // its keys and values have fewer outputs, and stay as they are
            words.addAll(List.of("--target", "q_proj,o_proj,gate_proj,up_proj,down_proj"));
        }
        Cli result = Cli.succeeds(words.toArray());
        assertTrue(result.output().contains("‖W − Ŵ‖/‖W‖"), result.output());
        Cli.succeeds("merge", lors, "--out", merged);
        try (SafetensorsFile before = SafetensorsFile.open(base.resolve(Checkpoint.SINGLE));
                Checkpoint after = Checkpoint.open(merged)) {
            TensorNames names = TensorNames.of(after);
            Map<String, float[]> found = new LinkedHashMap<>();
            after.tensors().forEach((name, tensor) -> found.put(names.canonical(name), tensor.toFloats()));
            before.tensors().forEach(tensor -> {
                float[] expected = tensor.toFloats();
                float[] own = found.get(tensor.name());
                for (int i = 0; i < expected.length; i++) {
                    assertEquals(expected[i], own[i], 4 * Math.ulp(1f), tensor.name());
                }
            });
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert", "roberta", "gpt2", "llama", "vit"})
    @DisplayName("merges to tensors of the names that transformers gives those of the class")
    void mergesToTransformersNames(String architecture) throws IOException {
        Path base = StoredCases.at("fixtures/" + architecture, folder).resolve("base");
        Path lors = folder.resolve("lors");
        Path merged = folder.resolve("merged");
        Cli.succeeds("train", "--method", "lors", "--into", base, "--rank", "1", "--out", lors);
        Cli.succeeds("merge", lors, "--out", merged);
        try (Checkpoint before = Checkpoint.open(base);
                Checkpoint after = Checkpoint.open(merged)) {
            assertEquals(
                    new TreeSet<>(before.tensors().keySet()),
                    new TreeSet<>(after.tensors().keySet()));
        }
    }

    @Test
    @DisplayName("of low rank says what it lost and saved, and trains from there")
    void decomposesAndTrains() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 5);
        Path lors = folder.resolve("lors");
        Cli result = Cli.succeeds(
                "train",
                "--method",
                "lors",
                "--into",
                base,
                "--rank",
                "1,2",
                "--target",
                "query,intermediate.dense",
                "--out",
                lors);
        // 2 × 16 × 16 weights against one of them and ranks 1 and 2 of 16 + 16
        assertTrue(
                result.output()
                        .lines()
                        .anyMatch(line -> line.startsWith("encoder.layer.*.attention.self.query")
                                && line.contains("512")
                                && line.contains("352")
                                && line.endsWith("31.3 %")),
                result.output());
        Path data = data("classification");
        Path trained = folder.resolve("trained");
        Cli.succeeds(
                "train",
                "--method",
                "lors",
                "--into",
                base,
                "--rank",
                "4",
                "--data",
                data,
                "--eval",
                data,
                "--epochs",
                "4",
                "--lr",
                "0.01",
                "--out",
                trained,
                "--device",
                "cpu");
        assertTrue(score(trained, -1, "eval_loss") < score(trained, 0, "eval_loss"));
    }

    @Test
    @DisplayName("names the layers whose shapes differ from the others' of their stack")
    void namesLayersThatDiffer() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 5);
        Path file = base.resolve(Checkpoint.SINGLE);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            open.tensors().forEach(tensor -> tensors.put(tensor.name(), FloatTensor.of(tensor)));
        }
        tensors.put("encoder.layer.1.intermediate.dense.weight", new FloatTensor(Shape.of(20, 16), new float[320]));
        SafetensorsWriter.write(file, tensors, Map.of());
        fails(
                3,
                "encoder.layer.0.intermediate.dense.weight: has shape [24, 16] and other layers of"
                        + " encoder.layer.*.intermediate.dense differ: encoder.layer.1.intermediate.dense.weight [20, 16]",
                "train",
                "--method",
                "lors",
                "--into",
                base,
                "--rank",
                "2",
                "--out",
                folder.resolve("out"));
        assertTrue(Files.notExists(folder.resolve("out")));
    }

    @Test
    @DisplayName("is no adapter of a base: each command says what to do instead")
    void isNoAdapter() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 5);
        Path lors = folder.resolve("lors");
        Path out = folder.resolve("out");
        Cli.succeeds("train", "--method", "lors", "--into", base, "--rank", "2", "--out", lors);
        fails(2, "leave out --base", "merge", lors, "--into", base, "--out", out);
        fails(2, "leave out --in-place and --undo", "merge", lors, "--undo", folder.resolve("u"), "--out", out);
        fails(2, "merge it alone", "merge", lors, lors, "--out", out);
        fails(2, "give --base, the checkpoint that the adapter was trained on", "merge", base, "--out", out);
        fails(2, "leave out its base", "verify", "--base", base, "--adapter", lors, "--merged", base);
        fails(3, "is a whole model, of LORS", "convert", lors, "--base", base, "--to", "lora", "--out", out);
        fails(2, "takes no adapters", "export-onnx", lors, "--target", "query", "--out", lors.resolve("m.onnx"));
        assertFalse(Files.exists(out));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--method lora --from-scratch --config BASE | --from-scratch is for --method lors and full",
                "--method lora --into BASE | --into is for --method lors",
                "--method lora | give --base",
                "--method lora --base BASE --groups 2 | --groups is LORS's",
                "--method lora --base BASE --rank 2,3 | --rank: expected one number, found 2",
                "--method lors | give one of --base, --from-scratch and --into",
                "--method lors --from-scratch | --from-scratch needs --config",
                "--method lors --base BASE --config BASE | --config goes with --from-scratch",
                "--method lors --base BASE | is no model whose layers share weights: decompose it with --into",
                "--method lors --into BASE --base BASE | from which training starts, and no other",
                "--method lors --into BASE --groups 1,2,3 | LORS has groups for 3 layers, expected one for all or one for each of the model's 2",
                "--method lors --into BASE --rank 9 --groups 2 | has rank 9 in 2 groups for encoder.layer.0.attention.self.query",
                "--method lors --into BASE --rank 0 | --rank: expected at least 1, found 0",
                "--method lors --into BASE --alpha 4 | LORS has nothing like them",
                "--method lors --from-scratch --config BASE | give both --data and --eval",
                "--method full --from-scratch --config BASE --rank 4 | a plain model has none; leave them out",
                "--method full --base BASE --target query | all of the model",
                "--method lors --from-scratch --config BASE --tokenizer BASE/config.json | expected a file called tokenizer.json",
            })
    @DisplayName("options that cannot be are answered with what to do")
    void refusesOptions(String options, String message) throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 5);
        List<Object> words = new ArrayList<>(List.of("train"));
        words.addAll(List.of(options.replace("BASE", base.toString()).split(" ")));
        words.addAll(List.of("--out", folder.resolve("out")));
        fails(2, message, words.toArray());
        assertTrue(Files.notExists(folder.resolve("out")));
    }

    @Test
    @DisplayName("is counted from a config alone")
    void counts() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 5);
        String counted = Cli.succeeds(
                        "count",
                        "--method",
                        "lors,lora",
                        "--rank",
                        "2",
                        "--groups",
                        "1,3",
                        "--target",
                        "query",
                        "--config",
                        base,
                        "--json")
                .output();
        JsonNode sizes = new JsonMapper().readTree(counted).path("counts");
        assertEquals(
                16 * 16 + (2 + 6) * 32, sizes.path(0).path("trained_parameters").asLong());
        assertEquals(2 * 16 * 16, sizes.path(0).path("plain_parameters").asLong());
        assertEquals("2, 6", sizes.path(0).path("ranks").asText());
        String text = Cli.succeeds("count", "--method", "lora,lors", "--rank", "2", "--config", base)
                .output();
        assertTrue(text.contains("LORS on attention.self.query, attention.self.key"), text);
        assertTrue(text.contains("of the plain layers'"), text);
    }

    /** That forms differ by no more than 1e-5. */
    private static void verify(Object... forms) {
        List<Object> words =
                new ArrayList<>(List.of("verify", "--tolerance", "1e-5", "--inputs", "4", "--device", "cpu"));
        words.addAll(List.of(forms));
        Cli.succeeds(words.toArray());
    }

    private static void fails(int code, String message, Object... args) {
        Cli result = Cli.run(args);
        assertTrue(result.errors().contains(message), result.errors());
        assertEquals(code, result.exitCode(), result.errors());
    }

    private Path train(Path config, Path data, String task, String method, Object... options) {
        Path out = folder.resolve(method);
        List<Object> words = new ArrayList<>(List.of("train", "--from-scratch", "--config", config));
        words.addAll(List.of("--method", method, "--task", task, "--data", data, "--eval", data, "--out", out));
        words.addAll(List.of("--epochs", "6", "--batch-size", "8", "--lr", "0.01", "--device", "cpu"));
        words.addAll(List.of(options));
        Cli.succeeds(words.toArray());
        return out;
    }

    private Path data(String task) throws IOException {
        Random random = new Random(11);
        if (task.equals("image-classification")) {
            return images(random);
        }
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < EXAMPLES; i++) {
            int kind = i % 3;
            List<Integer> ids = new ArrayList<>();
            int first = 2 + random.nextInt(20);
            for (int j = 0; j < 8; j++) {
                ids.add(task.equals("causal-lm") ? first + j : 2 + 12 * kind + random.nextInt(12));
            }
            lines.append("{\"input_ids\": ").append(ids);
            lines.append(task.equals("causal-lm") ? "}\n" : ", \"label\": \"kind " + kind + "\"}\n");
        }
        return Files.writeString(folder.resolve("data.jsonl"), lines);
    }

    /** Images of three colours, with noise. */
    private Path images(Random random) throws IOException {
        Path path = folder.resolve("images");
        for (int i = 0; i < EXAMPLES; i++) {
            BufferedImage image = new BufferedImage(8, 8, BufferedImage.TYPE_INT_RGB);
            for (int pixel = 0; pixel < 64; pixel++) {
                image.setRGB(pixel % 8, pixel / 8, random.nextInt(0x40) * 0x010101 + (0x90 << (8 * (i % 3))));
            }
            Path file = path.resolve("kind " + i % 3).resolve(i + ".png");
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "png", file.toFile());
        }
        return path;
    }
}
