package dev.adapt.formats.onnx.imports;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxTensor;
import dev.adapt.formats.onnx.TinyModel;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.StringStringEntryProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.onnx.proto.ValueInfoProto;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Imports of files made here the way PyTorch's exporters make them, sound and broken. */
class OnnxImportTest {
    private static final String QUERY = "encoder.layer.0.attention.self.query";

    @TempDir
    private Path folder;

    private Path checkpoint;
    private ModelProto exported;

    @BeforeEach
    void export() throws IOException {
        checkpoint = TinyModel.write(folder.resolve("original"));
        Path out = folder.resolve("own.onnx");
        try (Checkpoint open = Checkpoint.open(checkpoint)) {
            OnnxExport.run(Model.of(open), out, OnnxExport.Weights.OWN);
        }
        exported = ModelProto.parseFrom(Files.readAllBytes(out));
    }

    /** As PyTorch writes it: each linear weight, which is stored transposed, has an anonymous name. */
    private static ModelProto folded(ModelProto model) {
        Map<String, String> renamed = new HashMap<>();
        ModelProto.Builder folded = model.toBuilder();
        for (NodeProto.Builder node : folded.getGraphBuilder().getNodeBuilderList()) {
            if (node.getOpType().equals("MatMul") && node.getInput(1).endsWith(".weight")) {
                renamed.put(node.getInput(1), "onnx::MatMul_" + (700 + renamed.size()));
                node.setInput(1, renamed.get(node.getInput(1)));
            }
        }
        assertFalse(renamed.isEmpty(), "the export stores weights as MatMul reads them");
        folded.getGraphBuilder()
                .getInitializerBuilderList()
                .forEach(tensor -> tensor.setName(renamed.getOrDefault(tensor.getName(), tensor.getName())));
        return folded.build();
    }

    private static ModelProto changed(ModelProto model, Consumer<GraphProto.Builder> change) {
        ModelProto.Builder builder = model.toBuilder();
        change.accept(builder.getGraphBuilder());
        return builder.build();
    }

    private OnnxImport imported(ModelProto model) throws IOException {
        Path file = folder.resolve("in.onnx");
        Files.write(file, model.toByteArray());
        return OnnxImport.run(file, Optional.empty(), folder.resolve("out"));
    }

    private void assertRefused(ModelProto model, String reason) {
        FormatException refusal = assertThrows(FormatException.class, () -> imported(model));
        assertTrue(refusal.getMessage().contains(reason), refusal.getMessage());
        assertTrue(refusal.getMessage().startsWith(folder.resolve("in.onnx").toString()), refusal.getMessage());
        assertFalse(Files.exists(folder.resolve("out")), "nothing is left behind");
    }

    /** The imported checkpoint has the original's tensors, bit for bit, and what the graph tells of its config. */
    private void assertOriginal() throws IOException {
        try (Checkpoint original = Checkpoint.open(checkpoint);
                Checkpoint found = Checkpoint.open(folder.resolve("out"))) {
            assertEquals(original.tensors().size() - 2, found.tensors().size(), "all but the pooler's two");
            found.tensors().forEach((name, tensor) -> {
                assertEquals(original.tensors().get(name).shape(), tensor.shape(), name);
                assertArrayEquals(
                        original.tensors().get(name).data().toArray(ValueLayout.JAVA_BYTE),
                        tensor.data().toArray(ValueLayout.JAVA_BYTE),
                        name);
            });
            JsonDocument config = found.requireConfig();
            original.requireConfig()
                    .json()
                    .properties()
                    .forEach(field -> assertEquals(
                            field.getValue().toString(),
                            String.valueOf(config.json().get(field.getKey())),
                            field.getKey()));
        }
    }

    @Test
    void ownExportComesBack() throws IOException {
        imported(exported);
        assertOriginal();
    }

    @Test
    void anonymousWeightsAreNamedByTheirNodesPath() throws IOException {
        imported(changed(
                folded(exported),
                graph -> graph.getNodeBuilderList().stream()
                        .filter(node -> node.getOpType().equals("Add"))
                        .forEach(node -> node.setName("Add_0"))));
        assertOriginal();
    }

    @Test
    void anonymousWeightsWithoutPathAreNamedByTheBiasAddedNext() throws IOException {
        imported(changed(
                folded(exported),
                graph -> graph.getNodeBuilderList().forEach(node -> node.setName(node.getOpType() + "_0"))));
        assertOriginal();
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert.", "0.auto_model."})
    void whatWrappersPutBeforeAllNamesIsTakenOff(String prefix) throws IOException {
        imported(changed(exported, graph -> {
            graph.getInitializerBuilderList().stream()
                    .filter(tensor -> !tensor.getName().startsWith("Constant"))
                    .forEach(tensor -> tensor.setName(prefix + tensor.getName()));
            for (NodeProto.Builder node : graph.getNodeBuilderList()) {
                for (int i = 0; i < node.getInputCount(); i++) {
                    if (node.getInput(i).matches(".*\\.(weight|bias)")) {
                        node.setInput(i, prefix + node.getInput(i));
                    }
                }
            }
        }));
        assertOriginal();
    }

    @Test
    void parametersWithEqualValuesWrittenOnceComeBack() throws IOException {
        String first = "encoder.layer.0.output.LayerNorm.weight";
        String second = "encoder.layer.1.output.LayerNorm.weight";
        imported(changed(exported, graph -> {
            List<TensorProto> kept = graph.getInitializerList().stream()
                    .filter(tensor -> !tensor.getName().equals(second))
                    .toList();
            graph.clearInitializer().addAllInitializer(kept);
            graph.addNode(
                    0,
                    NodeProto.newBuilder().setOpType("Identity").addInput(first).addOutput(second));
        }));
        try (Checkpoint found = Checkpoint.open(folder.resolve("out"))) {
            assertArrayEquals(
                    found.tensors().get(first).toFloats(),
                    found.tensors().get(second).toFloats());
        }
    }

    @ParameterizedTest
    @CsvSource({"-1, 2", "4, -1", "4, 2"})
    void headsAreToldByEitherSize(long heads, long width) throws IOException {
        ByteString before = integers(0, 0, 4, 2);
        imported(changed(
                exported,
                graph -> graph.getInitializerBuilderList().stream()
                        .filter(tensor -> tensor.getRawData().equals(before))
                        .forEach(tensor -> tensor.setRawData(integers(0, 0, heads, width)))));
        assertOriginal();
    }

    private static ByteString integers(long... values) {
        ByteBuffer bytes = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asLongBuffer().put(values);
        return ByteString.copyFrom(bytes);
    }

    @Test
    void elementsInTypedListsAreRead() throws IOException {
        imported(changed(
                exported,
                graph -> graph.getInitializerBuilderList().stream()
                        .filter(tensor -> tensor.getName().endsWith(".bias"))
                        .forEach(tensor -> {
                            var floats =
                                    tensor.getRawData().asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
                            while (floats.hasRemaining()) {
                                tensor.addFloatData(floats.getFloat());
                            }
                            tensor.clearRawData();
                        })));
        assertOriginal();
    }

    @Test
    void externalDataIsRead() throws IOException {
        try (Checkpoint open = Checkpoint.open(checkpoint)) {
            OnnxExport.run(Model.of(open), checkpoint.resolve("linked.onnx"), OnnxExport.Weights.LINKED);
        }
        OnnxImport.run(checkpoint.resolve("linked.onnx"), Optional.empty(), folder.resolve("out"));
        assertOriginal();
    }

    @Test
    void tokenizerGoesWithTheModel() throws IOException {
        Path tokenizer = Files.writeString(folder.resolve("some.json"), "{\"model\": {}}");
        Path file = Files.write(folder.resolve("in.onnx"), exported.toByteArray());
        OnnxImport.run(file, Optional.of(tokenizer), folder.resolve("out"));
        assertEquals(-1, Files.mismatch(tokenizer, folder.resolve("out").resolve("tokenizer.json")));
        assertTrue(Files.exists(folder.resolve("out").resolve(ModelConfig.FILE)));
    }

    @Test
    void tensorsThatCannotBeNamedAreListed() {
        ModelProto model = changed(
                folded(exported),
                graph -> graph.getNodeBuilderList().stream()
                        .filter(node -> node.getName().contains("query"))
                        .forEach(node -> {
                            node.setName("");
                            for (int i = 0; i < node.getInputCount(); i++) {
                                node.setInput(i, node.getInput(i).equals(QUERY + ".bias") ? "b0" : node.getInput(i));
                            }
                        }));
        ModelProto renamed = changed(
                model,
                graph -> graph.getInitializerBuilderList().stream()
                        .filter(tensor -> tensor.getName().equals(QUERY + ".bias"))
                        .forEach(tensor -> tensor.setName("b0")));
        assertRefused(
                renamed,
                "2 tensors whose names as parameters cannot be recovered: b0 (F32 [8]), onnx::MatMul_700 (F32 [8, 8])");
    }

    @Test
    void twoTensorsForOneParameterAreRefused() {
        assertRefused(
                changed(
                        folded(exported),
                        graph -> graph.getNodeBuilderList().stream()
                                .filter(node -> node.getName().endsWith("key/MatMul"))
                                .forEach(node -> node.setName(node.getName().replace("key", "query")))),
                "two tensors for the parameter encoder.layer");
    }

    @ParameterizedTest
    @CsvSource({
        "Reshape, num_attention_heads: cannot be told",
        "LayerNormalization, layer_norm_eps: cannot be told",
        "Erf, hidden_act: cannot be told"
    })
    void whatTheGraphDoesNotTellIsAnError(String operator, String reason) {
        assertRefused(
                changed(
                        exported,
                        graph -> graph.getNodeBuilderList().stream()
                                .filter(node -> node.getOpType().equals(operator))
                                .forEach(node -> node.setOpType("Unknown"))),
                reason);
    }

    @Test
    void fusedModelsAreRefused() {
        assertRefused(
                changed(
                        exported,
                        graph -> graph.addNodeBuilder()
                                .setOpType("SkipLayerNormalization")
                                .setDomain("com.microsoft")),
                "com.microsoft.SkipLayerNormalization");
    }

    @Test
    void robertaIsRefused() {
        assertRefused(changed(exported, graph -> graph.addNodeBuilder().setOpType("CumSum")), "RoBERTa");
    }

    @Test
    void otherModelsAreRefused() {
        GraphProto graph = GraphProto.newBuilder()
                .addInput(ValueInfoProto.newBuilder().setName("x"))
                .addNode(NodeProto.newBuilder().setOpType("Relu").addInput("x").addOutput("y"))
                .build();
        assertRefused(ModelProto.newBuilder().setGraph(graph).build(), "is not a BERT");
    }

    @Test
    void tensorsThatBertDoesNotHaveAreRefused() {
        assertRefused(
                changed(exported, graph -> {
                    graph.addInitializer(graph.getInitializerList().stream()
                            .filter(tensor -> tensor.getName().equals(QUERY + ".bias"))
                            .findFirst()
                            .orElseThrow()
                            .toBuilder()
                            .setName("encoder.layer.0.extra.bias"));
                    graph.addNodeBuilder()
                            .setOpType("Add")
                            .addInput("encoder.layer.0.extra.bias")
                            .addOutput("z");
                }),
                "BERT has no encoder.layer.0.extra.bias");
    }

    @ParameterizedTest
    @CsvSource({
        "../original/model.safetensors, 0, 4, expected a relative path in the model's folder",
        "/etc/passwd, 0, 4, expected a relative path in the model's folder",
        "'', 0, 4, expected a relative path in the model's folder",
        "original/model.safetensors, 0, 999999999, lies at bytes 0 to 999999999 of",
        "original/model.safetensors, -4, 4, lies at bytes -4 to 0 of",
        "original/model.safetensors, 9223372036854775807, 4, lies at bytes",
        "original/model.safetensors, x, 4, 'offset is \"x\", not a number'",
        "original/model.safetensors, 0, 4, needs 32 bytes"
    })
    void externalDataThatIsNotThereIsRefused(String location, String offset, String length, String reason) {
        assertRefused(withExternal(location, offset, length), reason);
    }

    private ModelProto withExternal(String location, String offset, String length) {
        Map<String, String> entries = Map.of("location", location, "offset", offset, "length", length);
        List<StringStringEntryProto> data = new ArrayList<>();
        entries.forEach((key, value) -> data.add(
                StringStringEntryProto.newBuilder().setKey(key).setValue(value).build()));
        return changed(
                exported,
                graph -> graph.getInitializerBuilderList().stream()
                        .filter(tensor -> tensor.getName().equals(QUERY + ".bias"))
                        .forEach(tensor -> tensor.clearRawData()
                                .setDataLocation(TensorProto.DataLocation.EXTERNAL)
                                .addAllExternalData(data)));
    }

    @Test
    void externalDataThatDoesNotExistIsNamed() {
        assertRefused(
                withExternal("nowhere", "0", "4"),
                QUERY + ".bias: has its data in " + folder.resolve("nowhere") + ", which does not exist");
    }

    @Test
    void graphsThatGoInCirclesAreRefused() {
        assertRefused(
                changed(
                        exported,
                        graph -> graph.addNodeBuilder()
                                .setName("snake")
                                .setOpType("Concat")
                                .addInput("tail")
                                .addOutput("tail")),
                "node snake: reads tail, which nothing before it computes");
    }

    @Test
    void valuesComputedTwiceAreRefused() {
        assertRefused(
                changed(
                        exported,
                        graph -> graph.addNodeBuilder()
                                .setName("again")
                                .setOpType("Identity")
                                .addInput("input_ids")
                                .addOutput("last_hidden_state")),
                "node again: computes last_hidden_state a second time");
    }

    /** Whatever stands in a file, it is imported, or refused as a broken file: no other exception comes out. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void damagedFilesAreImportedOrRefused(long seed) throws IOException {
        Random random = new Random(seed);
        byte[] whole = folded(exported).toByteArray();
        for (int round = 0; round < 100; round++) {
            byte[] damaged = whole.clone();
            for (int i = 0; i <= random.nextInt(4); i++) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
            }
            Path file = Files.write(folder.resolve("in.onnx"), damaged);
            Path out = folder.resolve("out" + round);
            try {
                OnnxImport.run(file, Optional.empty(), out);
            } catch (FormatException | IOException refused) {
                assertFalse(Files.exists(out), "nothing is left behind");
            }
        }
    }

    @Test
    void tensorsOfTheWrongSizeAreRefused() {
        assertRefused(
                changed(
                        exported,
                        graph -> graph.getInitializerBuilderList().stream()
                                .filter(tensor -> tensor.getName().equals(QUERY + ".bias"))
                                .forEach(tensor -> tensor.setDims(0, 9))),
                QUERY + ".bias: [9] of F32 needs 36 bytes, found 32");
    }

    @Test
    void truncatedFilesAreRefused() throws IOException {
        byte[] whole = exported.toByteArray();
        for (int length : new int[] {0, 1, 7, whole.length / 2, whole.length - 1}) {
            Path file = Files.write(folder.resolve("in.onnx"), Arrays.copyOf(whole, length));
            FormatException refusal = assertThrows(
                    FormatException.class, () -> OnnxImport.run(file, Optional.empty(), folder.resolve("out")));
            assertTrue(refusal.getMessage().contains("not an ONNX model"), refusal.getMessage());
        }
    }

    @Test
    void aFolderThatHoldsSomethingIsNotWrittenTo() throws IOException {
        Path out = Files.createDirectory(folder.resolve("out"));
        Files.writeString(out.resolve("mine.txt"), "precious");
        assertThrows(DirectoryNotEmptyException.class, () -> imported(exported));
        assertEquals("precious", Files.readString(out.resolve("mine.txt")));
    }

    @Test
    void matricesTurnAsTheyShould() {
        try (Arena arena = Arena.ofConfined()) {
            var values = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 2, 3, 4, 5, 6);
            OnnxTensor matrix = new OnnxTensor("m", Dtype.F32, Shape.of(2, 3), values);
            assertArrayEquals(
                    new float[] {1, 4, 2, 5, 3, 6},
                    matrix.transposed(arena, 0, 3).toArray(ValueLayout.JAVA_FLOAT));
            assertArrayEquals(new float[] {2, 5}, matrix.transposed(arena, 1, 2).toArray(ValueLayout.JAVA_FLOAT));
        }
    }
}
