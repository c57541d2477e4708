package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.onnx.proto.TypeProto;
import dev.adapt.formats.onnx.proto.ValueInfoProto;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Each row: what is done to an exported model, the exit code of verify, and what it says. */
@DisplayName("verify compares every output of an exported model, or says which it did not")
class VerifyOutputsTest {
    /**
     * @param exitCode of verify
     * @param says part of its output
     */
    record Row(String name, int exitCode, String says, Consumer<GraphProto.Builder> change) {
        @Override
        public String toString() {
            return name + ": " + exitCode + ", " + says;
        }
    }

    static List<Row> berts() {
        return List.of(
                new Row("as exported", 0, "PASS", graph -> {}),
                new Row("pooler right", 0, "pooler_output", graph -> addPooler(graph, 0)),
                new Row("pooler wrong", 4, "at pooler_output[", graph -> addPooler(graph, -1)),
                new Row(
                        "states by another name",
                        0,
                        "PASS",
                        graph -> rename(graph, "last_hidden_state", "token_embeddings")),
                new Row("unknown output", 0, "not compared: hidden_states.1 of ONNX", graph -> {
                    graph.addNode(node("Identity", "last_hidden_state", "hidden_states.1"));
                    graph.addOutput(
                            output("hidden_states.1", TensorProto.DataType.FLOAT, "batch", "sequence", "width"));
                }),
                new Row(
                        "integer output",
                        0,
                        "not compared: mask of ONNX (ONNX Runtime, CPU): it holds INT64 values",
                        graph -> {
                            graph.addNode(node("Identity", "attention_mask", "mask"));
                            graph.addOutput(output("mask", TensorProto.DataType.INT64, "batch", "sequence"));
                        }),
                new Row(
                        "only another name",
                        0,
                        "its y as last_hidden_state",
                        graph -> rename(graph, "last_hidden_state", "y")),
                new Row("only another shape", 3, "expected one called last_hidden_state", graph -> {
                    graph.clearOutput();
                    graph.addOutput(output("y", TensorProto.DataType.FLOAT, "batch", "width"));
                    addPooler(graph, 0);
                    rename(graph, "pooler_output", "y");
                    graph.removeOutput(1);
                }));
    }

    static List<Row> llamas() {
        return List.of(
                new Row("as exported", 0, "present.*", graph -> {}),
                new Row("keys for values", 4, "at present.0.key[", graph -> {
                    rename(graph, "present.0.key", "was");
                    rename(graph, "present.0.value", "present.0.key");
                    rename(graph, "was", "present.0.value");
                }),
                new Row("past ignored", 4, "at logits[", graph -> {
                    // a graph that forgets the values of earlier tokens' second layer, but only where there are some
                    for (NodeProto.Builder node : graph.getNodeBuilderList()) {
                        for (int i = 0; i < node.getInputCount(); i++) {
                            if (node.getInput(i).equals("past_key_values.1.value")) {
                                node.setInput(i, "forgotten");
                            }
                        }
                    }
                    graph.addNode(
                            0,
                            node("Sub", "past_key_values.1.value", "forgotten").toBuilder()
                                    .addInput("past_key_values.1.value"));
                }));
    }

    @TempDir
    private Path folder;

    @ParameterizedTest
    @MethodSource("berts")
    void bert(Row row) throws IOException {
        // a classifier's checkpoint has a pooler; without the class it is a bare encoder's
        Path base = TinyModel.BERT_CLASSIFIER.write(folder.resolve("base"), 3);
        Path config = base.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("BertForSequenceClassification", "BertModel"));
        assertVerified(base, exported(base, row.change), row.exitCode, row.says);
    }

    @ParameterizedTest
    @MethodSource("llamas")
    void llamaWithPast(Row row) throws IOException {
        Path base = TinyModel.LLAMA.write(folder.resolve("base"), 3);
        assertVerified(base, exported(base, row.change, "--with-past"), row.exitCode, row.says);
    }

    private static void assertVerified(Path base, Path onnx, int exitCode, String says) {
        Cli result = Cli.run("verify", "--merged", base, "--onnx", onnx, "--device", "cpu");
        String all = result.output() + result.errors();
        assertEquals(exitCode, result.exitCode(), all);
        assertTrue(all.contains(says), all);
    }

    private static Path exported(Path base, Consumer<GraphProto.Builder> change, Object... options) throws IOException {
        Path file = base.resolve("model.onnx");
        Object[] command = {"export-onnx", base, "--self-contained", "--out", file};
        Cli.succeeds(Stream.concat(Stream.of(command), Stream.of(options)).toArray());
        ModelProto.Builder model = ModelProto.parseFrom(Files.readAllBytes(file)).toBuilder();
        addPoolerWeights(base, model.getGraphBuilder());
        change.accept(model.getGraphBuilder());
        return Files.write(file, model.build().toByteArray());
    }

    private static void addPoolerWeights(Path base, GraphProto.Builder graph) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            for (TensorView weight : checkpoint.tensors().values()) {
                if (!weight.name().contains("pooler.")) {
                    continue;
                }
                float[] values = weight.toFloats();
                ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
                bytes.asFloatBuffer().put(values);
                graph.addInitializer(TensorProto.newBuilder()
                        .setName(weight.name().replaceFirst("^bert.", ""))
                        .setDataType(TensorProto.DataType.FLOAT.getNumber())
                        .addAllDims(weight.shape().dims())
                        .setRawData(ByteString.copyFrom(bytes)));
            }
        }
    }

    /** The pooler of the state of the token at {@code index}; it should be that of the first. */
    private static void addPooler(GraphProto.Builder graph, long index) {
        graph.addInitializer(TensorProto.newBuilder()
                .setName("at")
                .setDataType(TensorProto.DataType.INT64.getNumber())
                .addInt64Data(index));
        AttributeProto axis = attribute("axis", 1);
        graph.addNode(node("Gather", "last_hidden_state", "first").toBuilder()
                .addInput("at")
                .addAttribute(axis));
        graph.addNode(node("Gemm", "first", "dense").toBuilder()
                .addInput("pooler.dense.weight")
                .addInput("pooler.dense.bias")
                .addAttribute(attribute("transB", 1)));
        graph.addNode(node("Tanh", "dense", "pooler_output"));
        graph.addOutput(output("pooler_output", TensorProto.DataType.FLOAT, "batch", "width"));
    }

    private static AttributeProto attribute(String name, long value) {
        return AttributeProto.newBuilder()
                .setName(name)
                .setType(AttributeProto.AttributeType.INT)
                .setI(value)
                .build();
    }

    private static NodeProto node(String operator, String input, String output) {
        return NodeProto.newBuilder()
                .setOpType(operator)
                .addInput(input)
                .addOutput(output)
                .build();
    }

    private static ValueInfoProto output(String name, TensorProto.DataType type, String... axes) {
        TypeProto.Tensor.Builder tensor = TypeProto.Tensor.newBuilder().setElemType(type.getNumber());
        for (String axis : axes) {
            tensor.getShapeBuilder().addDimBuilder().setDimParam(axis);
        }
        return ValueInfoProto.newBuilder()
                .setName(name)
                .setType(TypeProto.newBuilder().setTensorType(tensor))
                .build();
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
            for (int i = 0; i < node.getInputCount(); i++) {
                if (node.getInput(i).equals(from)) {
                    node.setInput(i, to);
                }
            }
        }
    }
}
