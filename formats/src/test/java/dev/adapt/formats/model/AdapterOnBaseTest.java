package dev.adapt.formats.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("An adapter of PEFT's, on its base")
class AdapterOnBaseTest {
    private static final String KEY = "base_model.model.bert.";
    private static final String WORDS = "embeddings.word_embeddings";

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void writeBase() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    @Test
    void mustHoldEveryModuleItsConfigNames() throws IOException {
        assertRefused(
                (tensors, config) -> tensors.keySet().removeIf(key -> key.contains("layer.1")),
                "lacks 1 modules of the base that its config names in target_modules:"
                        + " bert.encoder.layer.1.attention.self.query");
        assertRefused(
                (tensors, config) ->
                        config.putArray("target_modules").add("query").add("value"),
                "lacks 2 modules of the base that its config names in target_modules:"
                        + " bert.encoder.layer.0.attention.self.value, bert.encoder.layer.1.attention.self.value");
        assertRefused((tensors, config) -> config.put("target_modules", "all-linear"), "lacks 10 modules of the base");
        // a name that the base does not have means nothing, as for PEFT
        bind((tensors, config) -> config.putArray("target_modules").add("query").add("q_proj"));
    }

    @Test
    void mustHoldEveryBiasItsConfigNames() throws IOException {
        assertRefused(
                (tensors, config) -> config.put("bias", "all"),
                "is missing: the config says bias \"all\", and the base has it");
    }

    @Test
    void mustHoldEverySavedModuleOfTheBase() throws IOException {
        assertRefused(
                (tensors, config) -> {
                    config.putArray("modules_to_save").add("pooler").add("intermediate");
                    tensors.put(KEY + "pooler.dense.bias", tensor(12));
                },
                "encoder.layer.0.intermediate.dense.bias: is missing: the config names intermediate in modules_to_save");
    }

    @Test
    void mayHoldOnlyWhatTheBaseHas() throws IOException {
        assertRefused(
                (tensors, config) -> tensors.put(KEY + "encoder.stray", tensor(1)),
                "bert.encoder.stray: is neither a tensor of LORA nor of a module in modules_to_save [] nor of the base");
        assertRefused(
                (tensors, config) -> tensors.put(KEY + "pooler.dense.bias", tensor(5)),
                "bert.pooler.dense.bias: has shape [5], in the base it has [12]");
    }

    @Test
    void replacesBiasesWhole() throws IOException {
        FloatTensor bias = TinyBert.random(Shape.of(12), new Random(3));
        BoundAdapter bound = bind((tensors, config) -> {
            config.put("bias", "lora_only");
            tensors.put(KEY + "encoder.layer.0.attention.self.query.base_layer.bias", bias);
        });
        assertArrayEquals(
                bias.values(),
                bound.saved().get("encoder.layer.0.attention.self.query.bias").toFloats());
        Path written = Files.createDirectories(folder.resolve("written"));
        bound.write(written, List.of("query"), base);
        assertEquals("all", config(written).path("bias").asText());
        assertEquals(bound.saved().keySet(), bind(written).saved().keySet());
    }

    @Test
    void withMoreWordsIsWholeOrRefused() throws IOException {
        BiConsumer<Map<String, FloatTensor>, ObjectNode> more = (tensors, config) -> {
            config.putArray("modules_to_save").add("word_embeddings");
            tensors.put(KEY + WORDS + ".weight", TinyBert.random(Shape.of(31, 12), new Random(4)));
        };
        BoundAdapter bound = bind(more);
        assertEquals(31, bound.change().vocabulary().getAsInt());
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            assertEquals(31, Model.of(checkpoint, bound).config().document().positive("vocab_size"));
        }
        Map<String, FloatTensor> tensors = tensors(base.resolve("model.safetensors"));
        tensors.put("cls.predictions.bias", tensor(TinyBert.VOCABULARY));
        SafetensorsWriter.write(base.resolve("model.safetensors"), tensors, Map.of());
        assertRefused(more, "has an embedding table of 31 words, and the base's cls.predictions.bias is for 29");
    }

    @Test
    void withAHeadOfOtherClassesChangesTheConfig() throws IOException {
        BoundAdapter bound = bind((tensors, config) -> {
            config.putArray("modules_to_save").add("classifier").add("score");
            tensors.put("base_model.model.classifier.weight", TinyBert.random(Shape.of(5, 12), new Random(4)));
            tensors.put("base_model.model.classifier.bias", tensor(5));
        });
        assertEquals(5, bound.head().orElseThrow().labels().size());
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            assertEquals(
                    "BertForSequenceClassification",
                    ChangedConfig.of(checkpoint.requireConfig(), bound.change())
                            .json()
                            .path("architectures")
                            .path(0)
                            .asText());
        }
    }

    @Test
    void adaptsEmbeddingsAsTheUpdateOfTheirRows() throws IOException {
        Random random = new Random(6);
        FloatTensor a = TinyBert.random(Shape.of(2, TinyBert.VOCABULARY), random);
        FloatTensor b = TinyBert.random(Shape.of(12, 2), random);
        BoundAdapter bound = bind((tensors, config) -> {
            config.putArray("target_modules").add("query").add("word_embeddings");
            tensors.put(KEY + WORDS + ".lora_embedding_A", a);
            tensors.put(KEY + WORDS + ".lora_embedding_B", b);
            tensors.keySet().removeIf(key -> key.contains("lora_B.weight"));
            for (int layer = 0; layer < 2; layer++) {
                tensors.put(
                        KEY + "encoder.layer." + layer + ".attention.self.query.lora_B.weight",
                        new FloatTensor(Shape.of(12, 2), new float[24]));
            }
        });
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            double[] beside = Reference.run(Model.of(checkpoint, bound), Reference.inputs(3, 5))
                    .values();
            Map<String, FloatTensor> tensors = tensors(base.resolve("model.safetensors"));
            float[] table = tensors.get(WORDS + ".weight").values();
            for (int word = 0; word < TinyBert.VOCABULARY; word++) {
                for (int i = 0; i < 12; i++) {
                    for (int k = 0; k < 2; k++) {
                        // alpha is twice the rank
                        table[word * 12 + i] += 2 * b.values()[i * 2 + k] * a.values()[k * TinyBert.VOCABULARY + word];
                    }
                }
            }
            Path merged = TinyBert.write(folder.resolve("merged"), 1);
            SafetensorsWriter.write(merged.resolve("model.safetensors"), tensors, Map.of());
            try (Checkpoint opened = Checkpoint.open(merged)) {
                assertArrayEquals(
                        beside,
                        Reference.run(Model.of(opened), Reference.inputs(3, 5)).values(),
                        1e-5);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Dtype.class,
            names = {"BF16", "F16"})
    void inAHalfPrecisionIsTakenAsItIsStored(Dtype dtype) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            List<Target> targets = binding.targets(List.of("query"), Architectures.of(ModelConfig.of(checkpoint)));
            BoundAdapter fresh = BoundAdapter.fresh(
                    new Vera(4, 0.1, 3, 0, true, Rounding.FMA),
                    targets,
                    binding::weight,
                    Map.of(),
                    Optional.empty(),
                    Map.of(),
                    new Random(1));
            Path written = Files.createDirectories(folder.resolve("written"));
            fresh.write(written, List.of("query"), base, dtype);
            BoundAdapter read = binding.bind(Adapter.read(written), false);
            FloatTensor stored = FloatTensor.of(read.tensors().get("base_model.vera_A"));
            try (SafetensorsFile file = SafetensorsFile.open(written.resolve(Adapter.FILE))) {
                assertEquals(dtype, file.tensor("base_model.vera_A").dtype());
                assertArrayEquals(file.tensor("base_model.vera_A").toFloats(), stored.values());
            }
            assertArrayEquals(fresh.tensors().get("base_model.vera_A").toFloats(), stored.values(), 0.01f);
        }
    }

    @Test
    void isMadeOfFactorsOfAnyRanks() throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            SequencedMap<Target, BoundAdapter.Factors> updates = new LinkedHashMap<>();
            Random random = new Random(2);
            int rank = 1;
            for (Target target :
                    binding.targets(List.of("query", "value"), Architectures.of(ModelConfig.of(checkpoint)))) {
                updates.put(
                        target,
                        new BoundAdapter.Factors(
                                TinyBert.random(Shape.of(target.out(), rank), random),
                                TinyBert.random(Shape.of(rank, target.in()), random)));
                rank++;
            }
            BoundAdapter made =
                    BoundAdapter.lora(updates, Map.of(), Map.of(), BaseChange.of(Optional.empty()), Map.of());
            Path written = Files.createDirectories(folder.resolve("written"));
            made.write(written, List.of("query", "value"), base);
            BoundAdapter read = bind(written);
            assertEquals(made.method(), read.method());
            for (Target target : made.targets()) {
                assertEquals(
                        updates.get(target).right().shape().dim(0),
                        read.method().rank(target));
            }
            assertEquals(made.tensors().keySet(), read.tensors().keySet());
        }
    }

    private void assertRefused(BiConsumer<Map<String, FloatTensor>, ObjectNode> change, String reason) {
        FormatException thrown = assertThrows(FormatException.class, () -> bind(change));
        assertTrue(thrown.getMessage().contains(reason), thrown::getMessage);
    }

    /** LoRA on the queries as PEFT writes it, changed. */
    private BoundAdapter bind(BiConsumer<Map<String, FloatTensor>, ObjectNode> change) throws IOException {
        Path adapter = Files.createDirectories(folder.resolve("adapter"));
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            BoundAdapter.fresh(
                            new Lora(2, 4, 0),
                            binding.targets(List.of("query"), Architectures.of(ModelConfig.of(checkpoint))),
                            binding::weight,
                            Map.of(),
                            Optional.empty(),
                            Map.of(),
                            new Random(1))
                    .write(adapter, List.of("query"), base);
        }
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        tensors(adapter.resolve(Adapter.FILE))
                .forEach((key, tensor) -> tensors.put(key.replace("base_model.model.", KEY), tensor));
        ObjectNode config = config(adapter);
        change.accept(tensors, config);
        SafetensorsWriter.write(adapter.resolve(Adapter.FILE), tensors, Map.of("format", "pt"));
        Files.writeString(adapter.resolve(AdapterConfig.FILE), config.toString());
        return bind(adapter);
    }

    private BoundAdapter bind(Path adapter) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            return new Binding(checkpoint).bind(Adapter.read(adapter), false);
        }
    }

    private static ObjectNode config(Path adapter) throws IOException {
        return (ObjectNode)
                new JsonMapper().readTree(adapter.resolve(AdapterConfig.FILE).toFile());
    }

    private static Map<String, FloatTensor> tensors(Path path) throws IOException {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            file.tensors()
                    .forEach(tensor -> tensors.put(tensor.name(), new FloatTensor(tensor.shape(), tensor.toFloats())));
        }
        return tensors;
    }

    private static FloatTensor tensor(int size) {
        return new FloatTensor(Shape.of(size), new float[size]);
    }
}
