package dev.adapt.verify.runner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtProvider;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.OperatorSetIdProto;
import dev.adapt.formats.onnx.proto.StringStringEntryProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.onnx.proto.TensorShapeProto;
import dev.adapt.formats.onnx.proto.TypeProto;
import dev.adapt.formats.onnx.proto.ValueInfoProto;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** On a graph that computes {@code logits = float(input_ids + token_type_ids) · scale}. */
class OnnxRunnerTest {
    private static final Shape SHAPE = Shape.of(1, 3);
    private static final Tensor IDS = new LongTensor(SHAPE, new long[] {1, 2, 3});
    private static final Tensor TYPES = new LongTensor(SHAPE, new long[] {10, 10, 20});
    private static final Tensor SCALE = new FloatTensor(Shape.of(1), new float[] {0.5f});

    @TempDir
    Path folder;

    @Test
    void feedsIntegersAndFloatsByName() throws IOException {
        try (OnnxRunner runner = open(TensorProto.DataType.INT64)) {
            assertEquals("CPU", runner.provider());
            assertEquals("ONNX (ONNX Runtime, CPU)", runner.runner().name());
            DoubleTensor logits = runner.run(Map.of("input_ids", IDS, "token_type_ids", TYPES, "scale", SCALE));
            assertEquals(SHAPE, logits.shape());
            assertArrayEquals(new double[] {5.5, 6, 11.5}, logits.values());
        }
    }

    @Test
    void narrowsIntegersWhereTheModelWantsThatNarrow() throws IOException {
        try (OnnxRunner runner = open(TensorProto.DataType.INT32)) {
            DoubleTensor logits = runner.run(Map.of("input_ids", IDS, "token_type_ids", TYPES, "scale", SCALE));
            assertArrayEquals(new double[] {5.5, 6, 11.5}, logits.values());
        }
    }

    @Test
    void missingTokenTypesAreZeroAndExtrasAreLeftAside() throws IOException {
        try (OnnxRunner runner = open(TensorProto.DataType.INT64)) {
            DoubleTensor logits = runner.run(Map.of("input_ids", IDS, "scale", SCALE, "attention_mask", TYPES));
            assertArrayEquals(new double[] {0.5, 1, 1.5}, logits.values());
        }
    }

    @Test
    void aMissingInputIsNamed() throws IOException {
        try (OnnxRunner runner = open(TensorProto.DataType.INT64)) {
            FormatException thrown = assertThrows(FormatException.class, () -> runner.run(Map.of("input_ids", IDS)));
            assertTrue(thrown.getMessage().contains("does not give: scale;"), thrown::getMessage);
        }
    }

    @Test
    void aWrongKindOfInputIsNamed() throws IOException {
        try (OnnxRunner runner = open(TensorProto.DataType.INT64)) {
            FormatException thrown =
                    assertThrows(FormatException.class, () -> runner.run(Map.of("input_ids", IDS, "scale", TYPES)));
            assertTrue(thrown.getMessage().contains("scale: takes FLOAT values"), thrown::getMessage);
        }
    }

    @Test
    void whatCannotRunSaysWhy() throws IOException {
        try (OnnxRunner runner = open(TensorProto.DataType.INT64)) {
            Tensor longer = new LongTensor(Shape.of(1, 5), new long[5]);
            FormatException thrown = assertThrows(
                    FormatException.class,
                    () -> runner.run(Map.of("input_ids", IDS, "token_type_ids", longer, "scale", SCALE)));
            assertTrue(thrown.getMessage().contains("cannot run it: "), thrown::getMessage);
        }
    }

    @Test
    void aFileThatIsNoModelSaysWhy() throws IOException {
        Path broken = Files.writeString(folder.resolve("broken.onnx"), "not a model");
        FormatException thrown =
                assertThrows(FormatException.class, () -> OnnxRunner.open(broken, "logits", Device.CPU));
        assertTrue(thrown.getMessage().startsWith(broken + ": is truncated or not an ONNX model"), thrown::getMessage);
        assertEquals(-1, thrown.getMessage().indexOf('\n'));
        assertEquals(
                thrown.getMessage().indexOf("broken.onnx"), thrown.getMessage().lastIndexOf("broken.onnx"));
    }

    /** As it is where the weights' file was written anew after the export. */
    @Test
    void weightsThatLieBeyondTheirFileSayWhich() throws IOException {
        Files.write(folder.resolve("weights"), new byte[8]);
        TensorProto weight = TensorProto.newBuilder()
                .setName("scale")
                .setDataType(TensorProto.DataType.FLOAT.getNumber())
                .addDims(1)
                .setDataLocation(TensorProto.DataLocation.EXTERNAL)
                .addExternalData(
                        StringStringEntryProto.newBuilder().setKey("location").setValue("weights"))
                .addExternalData(
                        StringStringEntryProto.newBuilder().setKey("offset").setValue("100"))
                .addExternalData(
                        StringStringEntryProto.newBuilder().setKey("length").setValue("4"))
                .build();
        Path file = write(graph(TensorProto.DataType.INT64).addInitializer(weight));
        FormatException thrown = assertThrows(FormatException.class, () -> OnnxRunner.open(file, "logits", Device.CPU));
        assertTrue(thrown.getMessage().contains("scale: lies at bytes 100 to 104 of "), thrown::getMessage);
    }

    @Test
    void aMissingFileIsAMissingFile() {
        assertThrows(
                NoSuchFileException.class, () -> OnnxRunner.open(folder.resolve("none.onnx"), "logits", Device.CPU));
    }

    @Test
    void aMissingOutputIsNamed() throws IOException {
        Path file = write(TensorProto.DataType.INT64);
        FormatException thrown =
                assertThrows(FormatException.class, () -> OnnxRunner.open(file, "last_hidden_state", Device.CPU));
        assertTrue(thrown.getMessage().contains("has the outputs logits, expected one called last_hidden_state"));
    }

    @Test
    void cudaIsNeverReplacedInSilence() throws IOException {
        assumeFalse(OrtEnvironment.getAvailableProviders().contains(OrtProvider.CUDA), "this ONNX Runtime has CUDA");
        Path file = write(TensorProto.DataType.INT64);
        UsageException thrown = assertThrows(UsageException.class, () -> OnnxRunner.open(file, "logits", Device.CUDA));
        assertTrue(thrown.getMessage().contains("offers only CPU"), thrown::getMessage);
        try (OnnxRunner runner = OnnxRunner.open(file, "logits", Device.AUTO)) {
            assertEquals("CPU", runner.provider());
        }
    }

    private OnnxRunner open(TensorProto.DataType integers) throws IOException {
        return OnnxRunner.open(write(integers), "logits", Device.CPU);
    }

    private Path write(TensorProto.DataType integers) throws IOException {
        return write(graph(integers).addInput(value("scale", TensorProto.DataType.FLOAT, "one")));
    }

    private static GraphProto.Builder graph(TensorProto.DataType integers) {
        return GraphProto.newBuilder()
                .setName("test")
                .addInput(value("input_ids", integers, "batch", "sequence"))
                .addInput(value("token_type_ids", integers, "batch", "sequence"))
                .addOutput(value("logits", TensorProto.DataType.FLOAT, "batch", "sequence"))
                .addNode(node("Add", "sum", "input_ids", "token_type_ids"))
                .addNode(node("Cast", "number", "sum").toBuilder()
                        .addAttribute(AttributeProto.newBuilder()
                                .setName("to")
                                .setType(AttributeProto.AttributeType.INT)
                                .setI(TensorProto.DataType.FLOAT.getNumber())))
                .addNode(node("Mul", "logits", "number", "scale"));
    }

    private Path write(GraphProto.Builder graph) throws IOException {
        ModelProto model = ModelProto.newBuilder()
                .setIrVersion(8)
                .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(17))
                .setGraph(graph)
                .build();
        return Files.write(folder.resolve("model.onnx"), model.toByteArray());
    }

    private static NodeProto node(String operator, String output, String... inputs) {
        NodeProto.Builder node = NodeProto.newBuilder().setOpType(operator).addOutput(output);
        for (String input : inputs) {
            node.addInput(input);
        }
        return node.build();
    }

    private static ValueInfoProto value(String name, TensorProto.DataType type, String... axes) {
        TensorShapeProto.Builder shape = TensorShapeProto.newBuilder();
        for (String axis : axes) {
            shape.addDim(TensorShapeProto.Dimension.newBuilder().setDimParam(axis));
        }
        return ValueInfoProto.newBuilder()
                .setName(name)
                .setType(TypeProto.newBuilder()
                        .setTensorType(TypeProto.Tensor.newBuilder()
                                .setElemType(type.getNumber())
                                .setShape(shape)))
                .build();
    }
}
