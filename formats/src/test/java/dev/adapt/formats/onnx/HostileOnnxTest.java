package dev.adapt.formats.onnx;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.sun.management.ThreadMXBean;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.imports.OnnxImport;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.SparseTensorProto;
import dev.adapt.formats.onnx.proto.StringStringEntryProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Each row: a file, and the sentence that both readers, that of imports and that of engines, end in. */
@DisplayName("Hostile ONNX files end in one sentence that names file and tensor, in little memory")
class HostileOnnxTest {
    private static final long MEMORY = 400L << 20;
    private static final String FOLDER = "expected a relative path in the model's folder";

    /**
     * @param says part of the sentence
     */
    record Row(String name, ByteString file, String says) {
        Row(String name, byte[] file, String says) {
            this(name, ByteString.copyFrom(file), says);
        }

        Row(String name, ModelProto file, String says) {
            this(name, file.toByteString(), says);
        }

        @Override
        public String toString() {
            return name + " (" + file.size() + " bytes): " + says;
        }
    }

    static List<Row> rows() {
        ModelProto sound = model(floats("w", 2).setRawData(bytes(8)));
        return List.of(
                new Row("empty file", new byte[0], "holds no graph"),
                new Row("text", "no model".getBytes(StandardCharsets.UTF_8), "is truncated or not an ONNX model"),
                new Row("truncated", Arrays.copyOf(sound.toByteArray(), 20), "is truncated or not an ONNX model"),
                new Row(
                        "raw data too short",
                        model(floats("w", 3).setRawData(bytes(8))),
                        "w: [3] of F32 needs 12 bytes, found 8"),
                new Row(
                        "raw data too long",
                        model(floats("w", 1).setRawData(bytes(8))),
                        "w: [1] of F32 needs 4 bytes, found 8"),
                new Row("no data", model(floats("w", 3)), "w: [3] of F32 needs 12 bytes, found 0"),
                new Row(
                        "numbers of another type",
                        model(floats("w", 2).addInt64Data(1).addInt64Data(2)),
                        "w: [2] of F32 needs 8 bytes, found 0"),
                new Row("negative dimension", model(floats("w", -1)), "w: has an impossible shape [-1]"),
                new Row("huge dimension", model(floats("w", 1L << 62)), "w: has an impossible shape"),
                new Row("product that overflows", model(floats("w", 1L << 40, 1L << 40)), "w: has an impossible shape"),
                new Row(
                        "product that overflows to 0",
                        model(floats("w", 1L << 32, 1L << 32)),
                        "w: has an impossible shape"),
                new Row(
                        "two of one name",
                        model(
                                floats("w", 1).setRawData(bytes(4)),
                                floats("w", 1).setRawData(bytes(4))),
                        "w: is given twice"),
                new Row(
                        "absolute location",
                        model(external("/etc/passwd", "0", "8")),
                        "w: has its data in \"/etc/passwd\": " + FOLDER),
                new Row("location above", model(external("../w", "0", "8")), FOLDER),
                new Row("location above from below", model(external("a/../../w", "0", "8")), FOLDER),
                new Row("no location", model(external("", "0", "8")), FOLDER),
                new Row(
                        "location with NUL",
                        model(external("w\0", "0", "8")),
                        "w: has its data in a file whose name cannot be"),
                new Row("location that is the folder", model(external(".", "0", "8")), "is no file"),
                new Row("location of nothing", model(external("none", "0", "8")), "does not exist"),
                new Row("location that is a link out", model(external("link", "0", "8")), "a link out of its folder"),
                new Row(
                        "location of the model itself, too short",
                        model(external("in.onnx", "0", "800000")),
                        "lies at bytes 0 to 800000"),
                new Row("offset beyond the end", model(external("w", "4090", "8")), "w: lies at bytes 4090 to 4098"),
                new Row(
                        "offset that overflows",
                        model(external("w", "9223372036854775807", "8")),
                        "to 9223372036854775815 of"),
                new Row(
                        "length that overflows",
                        model(external("w", "8", "9223372036854775807")),
                        "to 9223372036854775815 of"),
                new Row("negative offset", model(external("w", "-8", "8")), "lies at bytes -8 to 0"),
                new Row("negative length", model(external("w", "0", "-8")), "lies at bytes 0 to -8"),
                new Row(
                        "offset that is no number",
                        model(external("w", "0x10", "8")),
                        "offset is \"0x10\", not a number"),
                new Row(
                        "length other than the shape's",
                        model(external("w", "0", "12")),
                        "w: [2] of F32 needs 8 bytes, found 12"),
                new Row("sparse tensor", sparse(1L << 20, 1L << 20), "s: is a sparse tensor"),
                new Row("sparse tensor of overflowing shape", sparse(1L << 40, 1L << 40), "s: "),
                new Row("external data in a graph in a graph", nested(20, external("/etc/passwd", "0", "8")), FOLDER),
                new Row(
                        "graphs nested 40 deep",
                        nested(40, floats("w", 1).setRawData(bytes(4))),
                        "nests graphs in graphs more than 21 deep"),
                new Row("two million empty nodes", repeated(1, 2_000_000), "would take more than 256 MB of memory"),
                new Row("two million empty tensors", repeated(5, 2_000_000), "would take more than 256 MB of memory"),
                new Row(
                        "two million unknown fields",
                        repeated(100, 2_000_000),
                        "would take more than 256 MB of memory"));
    }

    @TempDir
    private Path folder;

    @ParameterizedTest
    @MethodSource("rows")
    void endsInASentence(Row row) throws IOException {
        Path file = Files.write(folder.resolve("in.onnx"), row.file().toByteArray());
        Files.write(folder.resolve("w"), new byte[4096]);
        Path outside = Files.createTempFile("outside", "");
        Files.createSymbolicLink(folder.resolve("link"), outside);
        long before = allocated();
        try {
            assertRefused(file, row, () -> OnnxSoundness.require(file));
            Path out = folder.resolve("out");
            assertRefused(file, row, () -> OnnxImport.run(file, Optional.empty(), out));
            assertFalse(Files.exists(out), "something was written");
        } finally {
            Files.delete(outside);
        }
        long used = allocated() - before;
        assertTrue(used < MEMORY, () -> "took " + (used >> 20) + " MB");
    }

    private interface Reading {
        void run() throws IOException;
    }

    private static void assertRefused(Path file, Row row, Reading reading) {
        FormatException refusal = assertThrows(FormatException.class, reading::run);
        assertTrue(refusal.getMessage().startsWith(file + ": "), refusal.getMessage());
        // an import does not look into graphs in graphs: it refuses the model for having no parameters
        boolean inner = row.name().contains("in a graph");
        assertTrue(refusal.getMessage().contains(row.says()) || inner, refusal.getMessage());
        assertFalse(refusal.getMessage().contains("\n"), refusal.getMessage());
    }

    private static long allocated() {
        return ((ThreadMXBean) ManagementFactory.getThreadMXBean()).getCurrentThreadAllocatedBytes();
    }

    private static ByteString bytes(int count) {
        return ByteString.copyFrom(new byte[count]);
    }

    private static TensorProto.Builder floats(String name, long... dims) {
        TensorProto.Builder tensor = TensorProto.newBuilder().setName(name).setDataType(1);
        for (long dim : dims) {
            tensor.addDims(dim);
        }
        return tensor;
    }

    private static TensorProto.Builder external(String location, String offset, String length) {
        TensorProto.Builder tensor = floats("w", 2).setDataLocation(TensorProto.DataLocation.EXTERNAL);
        Map.of("location", location, "offset", offset, "length", length)
                .forEach((key, value) -> tensor.addExternalData(
                        StringStringEntryProto.newBuilder().setKey(key).setValue(value)));
        return tensor;
    }

    private static GraphProto.Builder graph(TensorProto.Builder... tensors) {
        GraphProto.Builder graph = GraphProto.newBuilder();
        for (TensorProto.Builder tensor : tensors) {
            graph.addInitializer(tensor);
        }
        return graph.addNode(
                NodeProto.newBuilder().setOpType("Identity").addInput("w").addOutput("y"));
    }

    private static ModelProto model(TensorProto.Builder... tensors) {
        return ModelProto.newBuilder().setGraph(graph(tensors)).build();
    }

    private static ModelProto sparse(long... dims) {
        SparseTensorProto.Builder sparse = SparseTensorProto.newBuilder()
                .setValues(floats("s", 1).setRawData(bytes(4)))
                .setIndices(floats("i", 1).setDataType(7).setRawData(bytes(8)));
        for (long dim : dims) {
            sparse.addDims(dim);
        }
        return ModelProto.newBuilder()
                .setGraph(graph(floats("w", 1).setRawData(bytes(4))).addSparseInitializer(sparse))
                .build();
    }

    private static ModelProto nested(int depth, TensorProto.Builder innermost) {
        GraphProto.Builder graph = graph(innermost);
        for (int i = 0; i < depth; i++) {
            GraphProto.Builder outer =
                    GraphProto.newBuilder().addInitializer(floats("w", 1).setRawData(bytes(4)));
            outer.addNodeBuilder()
                    .setOpType("If")
                    .addOutput("y")
                    .addAttributeBuilder()
                    .setName("then")
                    .setG(graph);
            graph = outer;
        }
        return ModelProto.newBuilder().setGraph(graph).build();
    }

    /** A graph of one field, empty, again and again: two or three bytes each. */
    private static byte[] repeated(int field, int count) {
        try {
            ByteArrayOutputStream graph = new ByteArrayOutputStream();
            CodedOutputStream inner = CodedOutputStream.newInstance(graph);
            for (int i = 0; i < count; i++) {
                inner.writeByteArray(field, new byte[0]);
            }
            inner.flush();
            ByteArrayOutputStream model = new ByteArrayOutputStream();
            CodedOutputStream outer = CodedOutputStream.newInstance(model);
            outer.writeByteArray(7, graph.toByteArray());
            outer.flush();
            return model.toByteArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
