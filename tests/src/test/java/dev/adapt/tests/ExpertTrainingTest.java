package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Experts are trained, stored as PEFT stores them, merged, exported and verified")
class ExpertTrainingTest {
    private static final String STACKS = "mlp.experts.gate_up_proj,mlp.experts.down_proj";
    private static final String KEY = "base_model.model.";

    @TempDir
    private Path folder;

    private Path data = Path.of("");

    @BeforeEach
    void data() throws IOException {
        Random random = new Random(3);
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 6; i++) {
            List<Integer> ids = random.ints(12, 0, 40).boxed().toList();
            lines.append("{\"input_ids\": ").append(ids).append("}\n");
        }
        data = Files.writeString(folder.resolve("data.jsonl"), lines);
    }

    private List<Object> training(Path base, String targets, String... options) {
        List<Object> words = new ArrayList<>(List.of("train", "--base", base, "--task", "causal-lm", "--data", data));
        words.addAll(List.of("--eval", data, "--batch-size", 6, "--lr", 0.05, "--epochs", 3, "--target", targets));
        words.addAll(List.of("--out", folder.resolve("adapter")));
        words.addAll(List.of(options));
        return words;
    }

    /** Trains, merges, exports and verifies; returns the adapter's config. */
    private JsonNode whole(Path base, String targets, String... options) throws IOException {
        Path adapter = folder.resolve("adapter");
        Path merged = folder.resolve("merged");
        Path onnx = merged.resolve("model.onnx");
        Cli.succeeds(training(base, targets, options).toArray());
        List<Double> losses = new ArrayList<>();
        for (String line : Files.readAllLines(adapter.resolve("training.jsonl"))) {
            JsonNode step = new JsonMapper().readTree(line);
            if (step.has("step")) {
                losses.add(step.path("loss").doubleValue());
            }
        }
        assertTrue(losses.getLast() < losses.getFirst(), losses.toString());
        Cli.succeeds("merge", adapter, "--base", base, "--out", merged);
        Cli.succeeds("export-onnx", merged, "--out", onnx);
        Cli.succeeds("verify", "--base", base, "--adapter", adapter, "--merged", merged, "--onnx", onnx);
        return new JsonMapper().readTree(adapter.resolve("adapter_config.json").toFile());
    }

    private Shape shape(String key) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("adapter/adapter_model.safetensors"))) {
            return file.tensors().stream()
                    .filter(tensor -> tensor.name().equals(KEY + key))
                    .findFirst()
                    .orElseThrow()
                    .shape();
        }
    }

    private static List<String> names(JsonNode config, String field) {
        return StreamSupport.stream(config.path(field).spliterator(), false)
                .map(JsonNode::textValue)
                .toList();
    }

    /** Mixtral's checkpoint with its tensors as the hub names them. */
    private Path mixtral() throws IOException {
        Path canonical = TinyModel.MIXTRAL.write(folder.resolve("canonical"), 3);
        Path hub = Files.createDirectories(folder.resolve("hub"));
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (Checkpoint checkpoint = Checkpoint.open(canonical)) {
            checkpoint.tensors().forEach((name, tensor) -> {
                String moved = name.replace(".mlp.", ".block_sparse_moe.")
                        .replace("gate_proj", "w1")
                        .replace("down_proj", "w2")
                        .replace("up_proj", "w3");
                tensors.put(moved.startsWith("lm_head") ? moved : "model." + moved, FloatTensor.of(tensor));
            });
            SafetensorsWriter.write(hub.resolve(Checkpoint.SINGLE), tensors, Map.of("format", "pt"));
        }
        Files.copy(canonical.resolve("config.json"), hub.resolve("config.json"));
        return hub;
    }

    @Test
    @DisplayName("each expert's layers, by the names of the checkpoint")
    void layers() throws IOException {
        JsonNode config = whole(mixtral(), "w1,w2,w3", "--method", "lora", "--rank", "2");
        assertEquals(List.of("w1", "w2", "w3"), names(config, "target_modules"));
        assertTrue(config.path("target_parameters").isNull());
        assertEquals(Shape.of(2, 16), shape("model.layers.1.block_sparse_moe.experts.3.w1.lora_A.weight"));
    }

    @Test
    @DisplayName("each expert's layers by canonical names, stored with those of the checkpoint; VeRA")
    void vera() throws IOException {
        JsonNode config = whole(mixtral(), "gate_proj,down_proj", "--method", "vera", "--rank", "8");
        assertEquals(List.of("w1", "w2"), names(config, "target_modules"));
        assertEquals(Shape.of(12), shape("model.layers.1.block_sparse_moe.experts.3.w1.vera_lambda_b"));
    }

    @Test
    @DisplayName("stacks of a checkpoint that has a tensor for each expert")
    void stacksOfSingles() throws IOException {
        requireStacks(whole(mixtral(), STACKS, "--method", "lora", "--rank", "2"), 24);
    }

    @Test
    @DisplayName("stacks of a checkpoint of transformers 5")
    void stacks() throws IOException {
        Path base = StackedExperts.write(TinyModel.MIXTRAL.write(folder.resolve("base"), 3));
        requireStacks(whole(base, STACKS, "--method", "lora", "--rank", "2"), 24, "layers.1.");
    }

    @Test
    @DisplayName("stacks stored [experts, in, out], gpt-oss, beside linear layers")
    void transposedStacks() throws IOException {
        Path base = TinyModel.GPT_OSS.write(folder.resolve("base"), 3);
        JsonNode config =
                whole(base, "q_proj,experts.gate_up_proj,experts.down_proj", "--method", "lora", "--rank", "2");
        assertEquals(List.of("q_proj"), names(config, "target_modules"));
        assertEquals(false, config.path("fan_in_fan_out").booleanValue());
        assertEquals(Shape.of(8, 16), shape("layers.1.mlp.experts.base_layer.lora_A.weight"));
    }

    private void requireStacks(JsonNode config, int both) throws IOException {
        requireStacks(config, both, "model.layers.1.");
    }

    /** A [experts·r, in] and B [out, r·experts]; PEFT wraps the module once for each of its parameters. */
    private void requireStacks(JsonNode config, int both, String layer) throws IOException {
        assertEquals(List.of(), names(config, "target_modules"));
        assertEquals(List.of(STACKS.split(",")), names(config, "target_parameters"));
        assertEquals(Shape.of(8, 16), shape(layer + "mlp.experts.base_layer.lora_A.weight"));
        assertEquals(Shape.of(both, 8), shape(layer + "mlp.experts.base_layer.lora_B.weight"));
        assertEquals(Shape.of(8, 12), shape(layer + "mlp.experts.lora_A.weight"));
        assertEquals(Shape.of(16, 8), shape(layer + "mlp.experts.lora_B.weight"));
    }

    private static void refused(int exitCode, String why, Object... words) {
        Cli result = Cli.run(words);
        assertEquals(exitCode, result.exitCode(), result.errors());
        assertTrue(result.errors().contains(why), result.errors());
    }

    @Test
    @DisplayName("what cannot train stacks is refused with the reason, and so are the layers of experts in stacks")
    void refusals() throws IOException {
        Path base = StackedExperts.write(TinyModel.MIXTRAL.write(folder.resolve("base"), 3));
        refused(2, "VeRA: ", training(base, STACKS, "--method", "vera").toArray());
        refused(
                2,
                "without dropout",
                training(base, STACKS, "--method", "lora", "--dropout", "0.1").toArray());
        refused(
                2,
                "without DoRA",
                training(base, STACKS, "--method", "lora", "--dora").toArray());
        refused(
                3,
                "give mlp.experts.gate_up_proj",
                training(base, "w1", "--method", "lora").toArray());
        refused(
                3,
                "near matches: w1",
                training(mixtral(), "w9", "--method", "lora").toArray());
    }

    @Test
    @DisplayName("all-linear leaves experts out, as PEFT does")
    void allLinear() throws IOException {
        JsonNode config = whole(mixtral(), "all-linear", "--method", "lora", "--rank", "2");
        assertEquals(
                List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
                names(config, "target_modules"));
    }
}
