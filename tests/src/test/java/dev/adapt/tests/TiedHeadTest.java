package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.Merger;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.Unmerger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("An adapter of one side of a tied pair leaves the other as it was")
class TiedHeadTest {
    private static final String WORDS = "model.embed_tokens.weight";
    private static final String HEAD = "lm_head.weight";
    private static final String KEY = "base_model.model.";
    private static final int VOCABULARY = 23;
    private static final int HIDDEN = 8;
    private static final String CONFIG = """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 12,
             "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 23,
             "max_position_embeddings": 32, "tie_word_embeddings": true}
            """;

    @TempDir
    private Path folder;

    private Path base;
    private FloatTensor words;
    private Path out;

    @ParameterizedTest
    @ValueSource(strings = {"saved head", "saved words", "adapted head", "adapted words", "saved words, adapted head"})
    void separatesThem(String which) throws IOException {
        writeBase();
        FloatTensor other = random(Shape.of(VOCABULARY, HIDDEN), 7);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        List<String> targets = new ArrayList<>(List.of("q_proj"));
        List<String> saved = new ArrayList<>();
        if (which.contains("saved head")) {
            tensors.put(KEY + HEAD, other);
            saved.add("lm_head");
        }
        if (which.contains("saved words")) {
            tensors.put(KEY + WORDS, other);
            saved.add("embed_tokens");
        }
        if (which.contains("adapted head")) {
            tensors.put(KEY + "lm_head.lora_A.weight", random(Shape.of(2, HIDDEN), 8));
            tensors.put(KEY + "lm_head.lora_B.weight", random(Shape.of(VOCABULARY, 2), 9));
            targets.add("lm_head");
        }
        if (which.contains("adapted words")) {
            tensors.put(KEY + "model.embed_tokens.lora_embedding_A", random(Shape.of(2, VOCABULARY), 8));
            tensors.put(KEY + "model.embed_tokens.lora_embedding_B", random(Shape.of(HIDDEN, 2), 9));
            // PEFT saves the table beneath, too
            tensors.put(KEY + "model.embed_tokens.base_layer.weight", words);
            targets.add("embed_tokens");
        }
        merge(tensors, targets, saved, true);
        try (Checkpoint merged = Checkpoint.open(out)) {
            float[] table = merged.tensors().get(WORDS).toFloats();
            float[] head = merged.tensors().get(HEAD).toFloats();
            float[] expectedTable = which.contains("saved words")
                    ? other.values()
                    : which.contains("adapted words") ? plus(tensors, "model.embed_tokens") : words.values();
            float[] expectedHead = which.contains("saved head")
                    ? other.values()
                    : which.contains("adapted head") ? plus(tensors, "lm_head") : words.values();
            assertArrayEquals(expectedTable, table, 1e-6f);
            assertArrayEquals(expectedHead, head, 1e-6f);
        }
    }

    /** Classes of BART and its kin tie encoder.embed_tokens and decoder.embed_tokens to the table only while the head is tied. */
    @ParameterizedTest(name = "with the table {0}")
    @ValueSource(strings = {"unchanged", "saved", "adapted"})
    @DisplayName("tables that an encoder and a decoder share with the head are written for each, as the base has them")
    void sharedTable(String table) throws IOException {
        base = Files.createDirectories(folder.resolve("bart"));
        Files.writeString(base.resolve(ModelConfig.FILE), """
                {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "vocab_size": 23, "d_model": 8}
                """);
        String shared = "model.shared.weight";
        words = random(Shape.of(VOCABULARY, HIDDEN), 1);
        SafetensorsWriter.write(
                base.resolve("model.safetensors"),
                Map.of(shared, words, "model.layers.0.self_attn.q_proj.weight", random(Shape.of(HIDDEN, HIDDEN), 2)),
                Map.of("format", "pt"));
        FloatTensor head = random(Shape.of(VOCABULARY, HIDDEN), 3);
        FloatTensor other = random(Shape.of(VOCABULARY, HIDDEN), 4);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>(Map.of(KEY + HEAD, head));
        List<String> saved = new ArrayList<>(List.of("lm_head"));
        List<String> targets = new ArrayList<>(List.of("q_proj"));
        if (table.equals("saved")) {
            tensors.put(KEY + shared, other);
            saved.add("shared");
        }
        if (table.equals("adapted")) {
            tensors.put(KEY + "model.shared.lora_embedding_A", random(Shape.of(2, VOCABULARY), 8));
            tensors.put(KEY + "model.shared.lora_embedding_B", random(Shape.of(HIDDEN, 2), 9));
            targets.add("shared");
        }
        out = folder.resolve("merged-bart");
        Cli.succeeds("merge", writeAdapter(tensors, targets, saved), "--base", base, "--out", out);
        try (Checkpoint merged = Checkpoint.open(out)) {
            assertArrayEquals(head.values(), merged.tensors().get(HEAD).toFloats());
            float[] written = merged.tensors().get(shared).toFloats();
            float[] before = table.equals("saved") ? other.values() : words.values();
            assertEquals(!table.equals("adapted"), Arrays.equals(before, written));
            for (String part : List.of("encoder", "decoder")) {
                assertArrayEquals(
                        words.values(),
                        merged.tensors()
                                .get("model." + part + ".embed_tokens.weight")
                                .toFloats());
            }
        }
    }

    /** The words of the base with the update of one module, element by element; alpha is the rank. */
    private float[] plus(Map<String, FloatTensor> tensors, String module) {
        boolean embedding = module.contains("embed");
        String a = KEY + module + (embedding ? ".lora_embedding_A" : ".lora_A.weight");
        String b = KEY + module + (embedding ? ".lora_embedding_B" : ".lora_B.weight");
        float[] left = tensors.get(b).values();
        float[] right = tensors.get(a).values();
        float[] sum = words.values().clone();
        for (int word = 0; word < VOCABULARY; word++) {
            for (int i = 0; i < HIDDEN; i++) {
                for (int k = 0; k < 2; k++) {
                    sum[word * HIDDEN + i] += embedding
                            ? left[i * 2 + k] * right[k * VOCABULARY + word]
                            : left[word * 2 + k] * right[k * HIDDEN + i];
                }
            }
        }
        return sum;
    }

    @Test
    void equalOnesStayTied() throws IOException {
        writeBase();
        merge(Map.of(KEY + HEAD, words), List.of("q_proj"), List.of("lm_head"), false);
        try (Checkpoint merged = Checkpoint.open(out)) {
            assertFalse(merged.tensors().containsKey(HEAD));
        }
        FloatTensor both = random(Shape.of(VOCABULARY, HIDDEN), 3);
        merge(
                Map.of(KEY + HEAD, both, KEY + WORDS, both),
                List.of("q_proj"),
                List.of("lm_head", "embed_tokens"),
                false);
        try (Checkpoint merged = Checkpoint.open(out)) {
            assertFalse(merged.tensors().containsKey(HEAD));
            assertArrayEquals(both.values(), merged.tensors().get(WORDS).toFloats());
        }
    }

    @Test
    void moreWordsWithoutTheHeadAreRefused() throws IOException {
        writeBase();
        FloatTensor more = random(Shape.of(VOCABULARY + 3, HIDDEN), 3);
        FormatException refusal = assertThrows(
                FormatException.class,
                () -> merge(Map.of(KEY + WORDS, more), List.of("q_proj"), List.of("embed_tokens"), false));
        assertTrue(refusal.getMessage().contains("must hold both"), refusal.getMessage());
    }

    /** Merges, and compares the merged model's logits with those of the base with the adapter beside it. */
    private Path writeAdapter(Map<String, FloatTensor> tensors, List<String> targets, List<String> saved)
            throws IOException {
        Path adapter = Files.createDirectories(folder.resolve("adapter"));
        Map<String, FloatTensor> all = new LinkedHashMap<>(tensors);
        String query = KEY + "model.layers.0.self_attn.q_proj";
        all.put(query + ".lora_A.weight", random(Shape.of(2, HIDDEN), 5));
        all.put(query + ".lora_B.weight", random(Shape.of(HIDDEN, 2), 6));
        SafetensorsWriter.write(adapter.resolve(Adapter.FILE), all, Map.of("format", "pt"));
        JsonMapper json = new JsonMapper();
        Files.writeString(
                adapter.resolve("adapter_config.json"),
                "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 2, \"target_modules\": "
                        + json.writeValueAsString(targets) + ", \"modules_to_save\": " + json.writeValueAsString(saved)
                        + "}");
        return adapter;
    }

    private void merge(Map<String, FloatTensor> tensors, List<String> targets, List<String> saved, boolean unties)
            throws IOException {
        Path adapter = writeAdapter(tensors, targets, saved);
        out = folder.resolve("merged-" + tensors.size());
        try (Checkpoint opened = Checkpoint.open(base)) {
            BoundAdapter bound = new Binding(opened).bind(Adapter.read(adapter), false);
            assertEquals(unties, bound.change().unties());
            new Merger(opened, bound, 1).merge(out);
            Path shards = folder.resolve("sharded-" + tensors.size());
            Path undo = folder.resolve("undo-" + tensors.size());
            List<MergePlan.Weighted> alone = List.of(new MergePlan.Weighted(bound, 1));
            new Merger(opened, alone, Merger.Settings.of(1).maxShardBytes(1000).undo(undo)).merge(shards);
            assertUndone(shards, undo);
            try (Checkpoint merged = Checkpoint.open(out);
                    Checkpoint sharded = Checkpoint.open(shards)) {
                assertTrue(sharded.files().size() > 1);
                assertArrayEquals(logits(Model.of(merged)), logits(Model.of(sharded)), 0);
                assertEquals(
                        !unties,
                        merged.requireConfig()
                                .json()
                                .path("tie_word_embeddings")
                                .asBoolean());
                double[] expected = logits(Model.of(opened, bound));
                assertArrayEquals(expected, logits(Model.of(merged)), 1e-5);
                double largest = 0;
                double[] before = logits(Model.of(opened));
                for (int i = 0; i < before.length && before.length == expected.length; i++) {
                    largest = Math.max(largest, Math.abs(before[i] - expected[i]));
                }
                assertTrue(before.length != expected.length || largest > 1e-3, "nothing changed");
            }
        }
    }

    /** The base comes back bit for bit, its config.json and its tie included. */
    private void assertUndone(Path merged, Path undo) throws IOException {
        Path back = folder.resolve(merged.getFileName() + "-undone");
        try (Checkpoint opened = Checkpoint.open(merged);
                Unmerger unmerger = new Unmerger(opened, undo)) {
            unmerger.unmerge(back);
        }
        try (Stream<Path> files = Files.list(back)) {
            assertEquals(2, files.count());
        }
        for (String name : List.of(ModelConfig.FILE, Checkpoint.SINGLE)) {
            assertArrayEquals(Files.readAllBytes(base.resolve(name)), Files.readAllBytes(back.resolve(name)), name);
        }
    }

    private static double[] logits(Model model) {
        Map<String, DoubleTensor> inputs = Map.of(
                "input_ids", new DoubleTensor(Shape.of(1, 5), new double[] {1, 7, 3, 22, 7}),
                "attention_mask", new DoubleTensor(Shape.of(1, 5), new double[] {1, 1, 1, 1, 1}));
        return model.forward(new ReferenceOps(), name -> DoubleTensor.of(model.leaf(name)), inputs)
                .values();
    }

    private void writeBase() throws IOException {
        base = Files.createDirectories(folder.resolve("base"));
        Path config = Files.writeString(base.resolve(ModelConfig.FILE), CONFIG);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        int seed = 20;
        for (Map.Entry<String, Shape> needed :
                Architectures.of(ModelConfig.read(config)).requiredTensors().entrySet()) {
            tensors.put("model." + needed.getKey(), random(needed.getValue(), ++seed));
        }
        words = tensors.get(WORDS);
        SafetensorsWriter.write(base.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
    }

    private static FloatTensor random(Shape shape, long seed) {
        Random random = new Random(seed);
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.3f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }
}
