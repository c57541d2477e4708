package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Cause;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.compare.Tolerance;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.form.Settings;
import dev.adapt.verify.form.Verification;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Device;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Each row: a mistake in an otherwise right set of files, the cause that verify names, and words that it says. */
@DisplayName("verify finds planted faults with its default inputs and says what they are")
class PlantedFaultsTest {
    private static final String BERT = """
            {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 60,
             "max_position_embeddings": 128, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """;
    private static final String ENCODER = BERT.replace("BertForSequenceClassification", "BertModel");
    private static final String LLAMA = """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 60,
             "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "attention_bias": true,
             "tie_word_embeddings": false}
            """;
    private static final String TIED = LLAMA.replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    private static final Lora LORA = new Lora(4, 8, 0);
    private static final Lora DORA = new Lora(4, 8, false, true, 0, Map.of(), Map.of());
    private static final Lora RSLORA = new Lora(4, 8, true, false, 0, Map.of(), Map.of());
    private static final String SQUARE = "encoder.layer.1.attention.output.dense.weight";

    /** Makes something wrong in a right set of files. */
    @FunctionalInterface
    private interface Plant {
        void in(PlantedFiles files) throws IOException;
    }

    /**
     * @param options of the export
     * @param cause that is named first
     * @param says part of the diagnosis
     */
    record Fault(String name, String config, Lora method, List<String> options, Cause cause, String says, Plant plant) {
        @Override
        public String toString() {
            return (config.contains("llama") ? "llama: " : "bert: ") + name + ": " + cause;
        }
    }

    private static Fault bert(String name, Cause cause, String says, Plant plant) {
        return new Fault(name, BERT, LORA, List.of(), cause, says, plant);
    }

    private static Fault llama(String name, Cause cause, String says, Plant plant) {
        return new Fault(name, LLAMA, LORA, List.of(), cause, says, plant);
    }

    private static Fault past(String name, String says, Plant plant) {
        return new Fault(name, LLAMA, LORA, List.of("--with-past"), Cause.PAST, says, plant);
    }

    static Stream<Fault> faults() {
        return Stream.of(merging(), weights(), graphs(), exports()).flatMap(List::stream);
    }

    private static List<Fault> merging() {
        Plant base = files -> files.change(tensors -> tensors.putAll(baseOf(files)));
        Plant twice = files -> {
            Path again = files.folder().resolve("again");
            Cli.succeeds("merge", files.adapter(), "--into", files.merged(), "--force", "--out", again);
            Files.delete(files.merged().resolve(Checkpoint.SINGLE));
            Files.copy(again.resolve(Checkpoint.SINGLE), files.merged().resolve(Checkpoint.SINGLE));
            files.export(files.merged());
        };
        Plant layer = files -> files.change(tensors -> baseOf(files).forEach((name, tensor) -> {
            if (name.contains(".1.")) {
                tensors.put(name, tensor);
            }
        }));
        return List.of(
                bert(
                        "adapter not merged",
                        Cause.ADAPTER_NOT_MERGED,
                        "equals the base: the adapter was not merged",
                        base),
                llama(
                        "adapter not merged",
                        Cause.ADAPTER_NOT_MERGED,
                        "equals the base: the adapter was not merged",
                        base),
                bert("merged twice", Cause.MERGED_TWICE, "merged twice", twice),
                llama("merged twice", Cause.MERGED_TWICE, "merged twice", twice),
                bert("one layer missing", Cause.ADAPTER_PARTLY_MERGED, "layer 1", layer),
                llama("one layer missing", Cause.ADAPTER_PARTLY_MERGED, "layer 1", layer),
                new Fault(
                        "rsLoRA's √r ignored",
                        BERT,
                        RSLORA,
                        List.of(),
                        Cause.SCALE,
                        "α/r: 2 where its config says α/√r = 4",
                        files -> mergedWith(files, LORA)),
                new Fault(
                        "rsLoRA's √r ignored",
                        LLAMA,
                        RSLORA,
                        List.of(),
                        Cause.SCALE,
                        "α/r: 2 where its config says α/√r = 4",
                        files -> mergedWith(files, LORA)),
                llama("no α/r", Cause.SCALE, "left out: 1 where", files -> mergedWith(files, new Lora(4, 4, 0))),
                new Fault(
                        "DoRA's magnitude ignored",
                        BERT,
                        DORA,
                        List.of(),
                        Cause.MAGNITUDE_IGNORED,
                        "magnitude (DoRA) was ignored",
                        files -> mergedWith(files, LORA)),
                new Fault(
                        "DoRA's magnitude ignored",
                        LLAMA,
                        DORA,
                        List.of(),
                        Cause.MAGNITUDE_IGNORED,
                        "magnitude (DoRA) was ignored",
                        files -> mergedWith(files, LORA)),
                bert("another base", Cause.OTHER_BASE, "another base of the same shape", PlantedFaultsTest::otherBase),
                llama(
                        "another base",
                        Cause.OTHER_BASE,
                        "another base of the same shape",
                        PlantedFaultsTest::otherBase));
    }

    private static List<Fault> weights() {
        return List.of(
                bert(
                        "a weight transposed",
                        Cause.TRANSPOSED,
                        SQUARE + " transposed",
                        files -> files.change(
                                tensors -> tensors.computeIfPresent(SQUARE, (name, tensor) -> tensor.transposed()))),
                llama(
                        "a weight transposed",
                        Cause.TRANSPOSED,
                        "self_attn.o_proj.weight transposed",
                        files -> files.change(tensors -> tensors.computeIfPresent(
                                "layers.2.self_attn.o_proj.weight", (name, tensor) -> tensor.transposed()))),
                bert(
                        "a bias lost",
                        Cause.BIAS_LOST,
                        "encoder.layer.2.output.dense.bias",
                        files -> files.change(tensors -> zero(tensors, "encoder.layer.2.output.dense.bias"))),
                llama(
                        "a bias lost",
                        Cause.BIAS_LOST,
                        "layers.0.self_attn.k_proj.bias",
                        files -> files.change(tensors -> zero(tensors, "layers.0.self_attn.k_proj.bias"))),
                bert(
                        "positions from 64 on",
                        Cause.ROWS,
                        "the rows from 64 on",
                        files -> files.change(tensors -> tensors.computeIfPresent(
                                "embeddings.position_embeddings.weight",
                                (name, tensor) -> PlantedFiles.mapped(tensor, values -> {
                                    for (int i = 64 * 16; i < values.length; i++) {
                                        values[i] += 0.1f * (i % 7 - 3);
                                    }
                                    return values;
                                })))),
                new Fault(
                        "a word that no input shows",
                        BERT.replace("\"vocab_size\": 60", "\"vocab_size\": 2000"),
                        LORA,
                        List.of(),
                        Cause.ROWS,
                        "and no input reached it",
                        files -> {
                            int word = unseen(files);
                            files.change(tensors -> tensors.computeIfPresent(
                                    "embeddings.word_embeddings.weight",
                                    (name, tensor) -> PlantedFiles.mapped(tensor, values -> {
                                        values[word * 16] += 0.5f;
                                        return values;
                                    })));
                        }),
                bert(
                        "a word's row",
                        Cause.ROWS,
                        "embeddings.word_embeddings.weight",
                        files -> files.change(tensors -> tensors.computeIfPresent(
                                "embeddings.word_embeddings.weight",
                                (name, tensor) -> PlantedFiles.mapped(tensor, values -> {
                                    values[17 * 16] += 0.5f;
                                    return values;
                                })))),
                bert(
                        "vocabulary off by one",
                        Cause.SHIFTED,
                        "vocabulary off by one",
                        files -> files.change(tensors -> shift(tensors, "embeddings.word_embeddings.weight"))),
                llama(
                        "vocabulary off by one",
                        Cause.SHIFTED,
                        "vocabulary off by one",
                        files -> files.change(tensors -> shift(tensors, "embed_tokens.weight"))),
                bert(
                        "another label order",
                        Cause.LABEL_ORDER,
                        "another label order",
                        files -> files.change(tensors -> {
                            for (String name : List.of("classifier.weight", "classifier.bias")) {
                                tensors.computeIfPresent(
                                        name, (key, tensor) -> PlantedFiles.rows(tensor, rows -> new int[] {2, 0, 1}));
                            }
                        })),
                bert(
                        "labels named in another order",
                        Cause.LABEL_ORDER,
                        "id2label",
                        files -> files.changeConfig(
                                files.merged(),
                                "\"0\"\\s*:\\s*\"a\",\\s*\"1\"\\s*:\\s*\"b\"",
                                "\"0\":\"b\",\"1\":\"a\"")),
                llama(
                        "two layers exchanged",
                        Cause.EXCHANGED,
                        "it holds the values of layers.",
                        files -> files.change(tensors -> {
                            FloatTensor one = tensors.get("layers.0.mlp.up_proj.weight");
                            tensors.put("layers.0.mlp.up_proj.weight", tensors.get("layers.1.mlp.up_proj.weight"));
                            tensors.put("layers.1.mlp.up_proj.weight", one);
                        })),
                new Fault(
                        "tied head stale",
                        TIED,
                        LORA,
                        List.of(),
                        Cause.TIED_HEAD_STALE,
                        "tied head stale",
                        files -> staleHead(files, false)),
                new Fault(
                        "tied head stale where only other tools read it",
                        TIED,
                        LORA,
                        List.of(),
                        Cause.TIED_HEAD_STALE,
                        "tied head stale",
                        files -> staleHead(files, true)));
    }

    private static List<Fault> graphs() {
        return List.of(
                bert(
                        "token types ignored",
                        Cause.TOKEN_TYPES_IGNORED,
                        "token types ignored",
                        files -> files.changeGraph(graph -> zeroInput(graph, "token_type_ids", 0))),
                bert(
                        "mask ignored",
                        Cause.MASK_IGNORED,
                        "attention mask ignored",
                        files -> files.changeGraph(graph -> zeroInput(graph, "attention_mask", 1))),
                llama(
                        "mask ignored",
                        Cause.MASK_IGNORED,
                        "attention mask ignored",
                        files -> files.changeGraph(graph -> zeroInput(graph, "attention_mask", 1))),
                bert(
                        "left padding wrong",
                        Cause.PADDING,
                        "left padding wrong",
                        files -> files.changeGraph(PlantedFaultsTest::maskAsCount)),
                llama(
                        "left padding wrong",
                        Cause.PADDING,
                        "left padding wrong",
                        files -> files.changeGraph(PlantedFaultsTest::maskAsCount)),
                llama("wrong rope base", Cause.ROPE_BASE, "wrong rope base", files -> {
                    Path other = copied(files);
                    files.changeConfig(other, "10000\\.0", "500000.0");
                    files.export(other);
                }),
                llama(
                        "wrong rope base in the merged folder",
                        Cause.ROPE_BASE,
                        "rope_theta",
                        files -> files.changeConfig(files.merged(), "10000\\.0", "1000000.0")),
                bert("a layer left out", Cause.LAYER_MISSING, "layer 2 is missing", files -> {
                    Path other = copied(files);
                    files.changeConfig(other, "(\"num_hidden_layers\"\\s*:\\s*)3", "$12");
                    files.export(other);
                }),
                bert("another activation", Cause.ACTIVATION, "it computes relu", files -> {
                    Path other = copied(files);
                    files.changeConfig(other, "\"gelu\"", "\"relu\"");
                    files.export(other);
                }),
                bert(
                        "probabilities",
                        Cause.OUTPUT_FORM,
                        "holds probabilities",
                        files -> files.changeGraph(graph -> after(graph, "logits", "Softmax"))),
                bert(
                        "ids off by one",
                        Cause.TOKEN_IDS_SHIFTED,
                        "vocabulary off by one",
                        files -> files.changeGraph(graph -> {
                            PlantedFiles.constant(graph, "one", 1);
                            PlantedFiles.constant(graph, "size", 60);
                            PlantedFiles.reroute(graph, "input_ids", "shifted");
                            graph.addNode(0, PlantedFiles.node("Add", "plus", "input_ids", "one"));
                            graph.addNode(1, PlantedFiles.node("Mod", "shifted", "plus", "size"));
                        })),
                llama(
                        "a node computes otherwise",
                        Cause.COMPUTATION,
                        "layers.1.mlp.down_proj",
                        files -> files.changeGraph(graph -> nodeOf(graph, "layers.1.mlp.down_proj"))));
    }

    private static List<Fault> exports() {
        return List.of(
                new Fault(
                        "the main output turned",
                        ENCODER,
                        LORA,
                        List.of(),
                        Cause.OUTPUT_FORM,
                        "times what it should be",
                        files -> files.changeGraph(graph -> after(graph, "last_hidden_state", "Neg"))),
                bert(
                        "int8 with a bad scale",
                        Cause.QUANTIZATION_SCALE,
                        "int8 scale",
                        files -> files.changeGraph(
                                graph -> PlantedFiles.quantize(graph, initialiser(graph, SQUARE), 2))),
                llama(
                        "int8 with a bad scale",
                        Cause.QUANTIZATION_SCALE,
                        "int8 scale",
                        files -> files.changeGraph(graph -> PlantedFiles.quantize(
                                graph, initialiser(graph, "layers.1.self_attn.o_proj.weight"), 1.5f))),
                new Fault(
                        "float16 overflow",
                        BERT,
                        LORA,
                        List.of(),
                        Cause.FLOAT16_OVERFLOW,
                        "float16 overflow in layer 1",
                        files -> {
                            for (Path folder : List.of(files.base(), files.merged())) {
                                large(folder, "encoder.layer.1.intermediate.dense.weight");
                            }
                            files.export(files.merged(), "--dtype", "fp16");
                        }),
                past(
                        "keys and values exchanged",
                        "past in the wrong order",
                        files -> files.changeGraph(graph -> {
                            rename(graph, "present.1.key", "was");
                            rename(graph, "present.1.value", "present.1.key");
                            rename(graph, "was", "present.1.value");
                        })),
                past(
                        "the past after the new",
                        "past in the wrong order",
                        files -> files.changeGraph(PlantedFaultsTest::pastLast)));
    }

    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0}")
    @MethodSource("faults")
    void isFound(Fault fault) throws IOException {
        PlantedFiles files = files(fault);
        fault.plant().in(files);
        Report report = verify(files, false);
        assertTrue(!report.passed(), () -> "passed:\n" + report.text());
        assertTrue(!report.findings().isEmpty(), () -> "no diagnosis:\n" + report.text());
        assertEquals(fault.cause(), report.findings().getFirst().cause(), report::diagnosis);
        assertTrue(report.diagnosis().contains(fault.says()), report::diagnosis);
    }

    /** The same files without a fault, and with what rounding does to them. */
    @Test
    void rightFilesPass() throws IOException {
        for (Fault fault : List.of(
                merging().getFirst(),
                merging().get(1),
                exports().getLast(),
                weights().getLast())) {
            PlantedFiles files = files(fault);
            Report report = verify(files, false);
            assertTrue(report.passed(), report::text);
            assertTrue(report.findings().isEmpty(), report::diagnosis);
            delete(folder);
        }
        PlantedFiles quantized = files(merging().getFirst());
        quantized.changeGraph(graph -> PlantedFiles.quantize(graph, initialiser(graph, SQUARE), 1));
        Report report = verify(quantized, true);
        assertTrue(report.passed(), report::text);
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                if (!path.equals(folder)) {
                    Files.delete(path);
                }
            }
        }
    }

    private PlantedFiles files(Fault fault) throws IOException {
        List<String> targets = fault.config().contains("llama")
                ? List.of("q_proj", "v_proj", "down_proj")
                : List.of("query", "output.dense");
        return new PlantedFiles(folder, targets)
                .write(fault.config(), fault.method())
                .finish(fault.options().toArray());
    }

    private static Report verify(PlantedFiles files, boolean thorough) throws IOException {
        Settings settings = new Settings(
                16,
                0,
                thorough,
                Optional.empty(),
                Optional.empty(),
                Tolerance.DEFAULT,
                Device.CPU,
                true,
                Optional.empty());
        return Verification.of(
                Forms.of(files.base(), files.adapter(), files.merged(), files.onnx()), settings, Engine.Listener.NONE);
    }

    /** A word that the default inputs do not hold. */
    private static int unseen(PlantedFiles files) throws IOException {
        Set<Long> seen = new HashSet<>();
        ModelConfig config = ModelConfig.read(files.base().resolve(ModelConfig.FILE));
        for (Map<String, Tensor> batch : Inputs.random(config, 16, 0, false).batches()) {
            if (batch.get("input_ids") instanceof LongTensor ids) {
                Arrays.stream(ids.values()).forEach(seen::add);
            }
        }
        return IntStream.range(100, 2000)
                .filter(word -> !seen.contains((long) word))
                .findFirst()
                .orElseThrow();
    }

    private static Map<String, FloatTensor> baseOf(PlantedFiles files) {
        try {
            return PlantedFiles.tensors(files.base());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The merged checkpoint of an adapter with the same factors under another method. */
    private static void mergedWith(PlantedFiles files, Lora method) throws IOException {
        Path other = files.folder().resolve("other-adapter");
        files.writeAdapter(other, method);
        Cli.succeeds("merge", other, "--into", files.base(), "--overwrite", "--out", files.merged());
        files.export(files.merged());
    }

    private static void otherBase(PlantedFiles files) throws IOException {
        Map<String, FloatTensor> right = PlantedFiles.tensors(files.base());
        Path other = files.folder().resolve("other");
        TinyModel.write(other, Files.readString(files.base().resolve("config.json")), 9);
        Map<String, FloatTensor> otherBase = PlantedFiles.tensors(other);
        // base + change, on the other base
        files.change(tensors -> tensors.replaceAll((name, tensor) -> PlantedFiles.mapped(tensor, values -> {
            for (int i = 0; i < values.length; i++) {
                values[i] += otherBase.get(name).values()[i] - right.get(name).values()[i];
            }
            return values;
        })));
    }

    private static void zero(Map<String, FloatTensor> tensors, String name) {
        FloatTensor tensor = tensors.get(name);
        tensors.put(name, new FloatTensor(tensor.shape(), new float[tensor.values().length]));
    }

    private static void shift(Map<String, FloatTensor> tensors, String name) {
        tensors.computeIfPresent(
                name,
                (key, tensor) -> PlantedFiles.rows(tensor, rows -> {
                    int[] moved = new int[rows.length];
                    for (int i = 0; i < moved.length; i++) {
                        moved[i] = (i + moved.length - 1) % moved.length;
                    }
                    return moved;
                }));
    }

    /** An embedding table that was trained, in a merged folder with a stored head that is still the base's table. */
    private static void staleHead(PlantedFiles files, boolean unread) throws IOException {
        Path adapter = files.adapter().resolve("adapter_model.safetensors");
        Map<String, FloatTensor> own = PlantedFiles.tensors(files.base());
        FloatTensor table = own.get("embed_tokens.weight");
        FloatTensor trained = PlantedFiles.mapped(table, values -> {
            for (int i = 0; i < values.length; i++) {
                values[i] += 0.05f * (i % 5 - 2);
            }
            return values;
        });
        saveTable(adapter, trained);
        Cli.succeeds("merge", files.adapter(), "--into", files.base(), "--overwrite", "--out", files.merged());
        if (!unread) {
            files.changeConfig(files.merged(), "(\"tie_word_embeddings\"\\s*:\\s*)true", "$1false");
        }
        files.change(tensors -> tensors.put("lm_head.weight", table));
    }

    private static void saveTable(Path adapter, FloatTensor trained) throws IOException {
        SequencedMap<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(adapter)) {
            file.tensors()
                    .forEach(tensor -> tensors.put(tensor.name(), new FloatTensor(tensor.shape(), tensor.toFloats())));
        }
        tensors.put("base_model.model.model.embed_tokens.weight", trained);
        SafetensorsWriter.write(adapter, tensors, Map.of("format", "pt"));
        Path config = adapter.resolveSibling("adapter_config.json");
        Files.writeString(
                config,
                Files.readString(config)
                        .replaceFirst("\"modules_to_save\"\\s*:\\s*null", "\"modules_to_save\": [\"embed_tokens\"]")
                        .replaceFirst("\"ensure_weight_tying\"\\s*:\\s*false", "\"ensure_weight_tying\": true"));
    }

    private static Path copied(PlantedFiles files) throws IOException {
        Path other = Files.createDirectories(files.folder().resolve("copy"));
        for (String name : List.of("config.json", Checkpoint.SINGLE)) {
            Files.copy(files.merged().resolve(name), other.resolve(name));
        }
        return other;
    }

    private static void large(Path checkpoint, String name) throws IOException {
        SequencedMap<String, FloatTensor> tensors = PlantedFiles.tensors(checkpoint);
        tensors.computeIfPresent(
                name,
                (key, tensor) -> PlantedFiles.mapped(tensor, values -> {
                    for (int i = 0; i < values.length; i++) {
                        values[i] *= 60_000;
                    }
                    return values;
                }));
        SafetensorsWriter.write(checkpoint.resolve(Checkpoint.SINGLE), tensors, Map.of("format", "pt"));
    }

    /** A graph that reads {@code input·0 + value} in the place of an input. */
    private static void zeroInput(GraphProto.Builder graph, String input, long value) {
        PlantedFiles.constant(graph, "nought", 0);
        PlantedFiles.constant(graph, "always", value);
        PlantedFiles.reroute(graph, input, "fixed");
        graph.addNode(0, PlantedFiles.node("Mul", "none", input, "nought"));
        graph.addNode(1, PlantedFiles.node("Add", "fixed", "none", "always"));
    }

    /** A graph that takes only the number of tokens from the mask, as if padding were always on the right. */
    private static void maskAsCount(GraphProto.Builder graph) {
        PlantedFiles.constant(graph, "nought", 0);
        PlantedFiles.constant(graph, "one", 1);
        graph.addInitializer(TensorProto.newBuilder()
                .setName("axis")
                .setDataType(TensorProto.DataType.INT64.getNumber())
                .addInt64Data(1));
        PlantedFiles.reroute(graph, "attention_mask", "counted");
        graph.addNode(0, PlantedFiles.node("ReduceSum", "kept", "attention_mask", "one"));
        graph.addNode(1, PlantedFiles.node("Mul", "zeros", "attention_mask", "nought"));
        graph.addNode(2, PlantedFiles.node("Add", "ones", "zeros", "one"));
        graph.addNode(3, PlantedFiles.node("CumSum", "places", "ones", "axis"));
        graph.addNode(4, PlantedFiles.node("LessOrEqual", "within", "places", "kept"));
        graph.addNode(5, PlantedFiles.with(PlantedFiles.node("Cast", "counted", "within"), "to", 7));
    }

    /** Puts a node between an output and what computes it. */
    private static void after(GraphProto.Builder graph, String output, String operator) {
        rename(graph, output, output + "/before");
        NodeProto node = PlantedFiles.node(operator, output, output + "/before");
        graph.addNode(operator.equals("Softmax") ? PlantedFiles.with(node, "axis", -1) : node);
        graph.getOutputBuilderList().stream()
                .filter(own -> own.getName().equals(output + "/before"))
                .forEach(own -> own.setName(output));
    }

    private static void rename(GraphProto.Builder graph, String from, String to) {
        graph.getOutputBuilderList().stream()
                .filter(output -> output.getName().equals(from))
                .forEach(output -> output.setName(to));
        for (NodeProto.Builder node : graph.getNodeBuilderList()) {
            for (int i = 0; i < node.getOutputCount(); i++) {
                if (node.getOutput(i).equals(from)) {
                    node.setOutput(i, to);
                }
            }
        }
        PlantedFiles.reroute(graph, from, to);
    }

    private static String initialiser(GraphProto.Builder graph, String weight) {
        return graph.getInitializerList().stream()
                .map(TensorProto::getName)
                .filter(name -> name.equals(weight) || name.endsWith(weight))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no " + weight));
    }

    /** The node that reads a layer's weight gives twice as much. */
    private static void nodeOf(GraphProto.Builder graph, String module) {
        String weight = initialiser(graph, module + ".weight");
        Set<String> values = new HashSet<>(Set.of(weight));
        for (int i = 0; i < graph.getNodeCount(); i++) {
            NodeProto node = graph.getNode(i);
            boolean reads = node.getInputList().stream().anyMatch(values::contains);
            if (reads && (node.getOpType().equals("MatMul") || node.getOpType().equals("Gemm"))) {
                String output = node.getOutput(0);
                graph.setNode(i, node.toBuilder().setOutput(0, output + "/once"));
                graph.addNode(i + 1, PlantedFiles.node("Add", output, output + "/once", output + "/once"));
                return;
            }
            if (reads) {
                values.add(node.getOutput(0));
            }
        }
        throw new AssertionError("no node reads " + weight);
    }

    /** New keys and values before those of the past, in the second layer. */
    private static void pastLast(GraphProto.Builder graph) {
        int changed = 0;
        for (NodeProto.Builder node : graph.getNodeBuilderList()) {
            if (node.getOpType().equals("Concat")
                    && node.getInputCount() == 2
                    && node.getInput(0).startsWith("past_key_values.1.")) {
                String first = node.getInput(0);
                node.setInput(0, node.getInput(1)).setInput(1, first);
                changed++;
            }
        }
        assertEquals(2, changed);
    }
}
