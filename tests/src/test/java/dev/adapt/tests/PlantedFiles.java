package dev.adapt.tests;

import com.google.protobuf.ByteString;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/**
 * A right set of files of a tiny model: a base, an adapter, the merged checkpoint and the ONNX model exported from it, and the
 * ways to make something in them wrong.
 */
record PlantedFiles(Path folder, List<String> targets) {
    Path base() {
        return folder.resolve("base");
    }

    Path adapter() {
        return folder.resolve("adapter");
    }

    Path merged() {
        return folder.resolve("merged");
    }

    Path onnx() {
        return folder.resolve("onnx").resolve("model.onnx");
    }

    /** Writes the base, and an adapter of random values as if it had been trained. */
    PlantedFiles write(String config, Lora method) throws IOException {
        TinyModel.write(base(), config, 1);
        writeAdapter(adapter(), method);
        return this;
    }

    void writeAdapter(Path out, Lora method) throws IOException {
        Files.createDirectories(out);
        Random random = new Random(4);
        try (Checkpoint checkpoint = Checkpoint.open(base())) {
            Binding binding = new Binding(checkpoint);
            List<Target> own = binding.targets(targets, Architectures.of(ModelConfig.of(checkpoint)));
            BoundAdapter fresh = BoundAdapter.fresh(
                    method, own, binding::weight, Map.of(), Optional.empty(), binding.digests(own), random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            // the factors are drawn by their keys, so that methods which share them share their values
            fresh.trainedKeys().stream().sorted().forEach(key -> {
                FloatTensor before = FloatTensor.of(fresh.tensors().get(key));
                boolean magnitude = key.contains("magnitude");
                float[] values = new float[before.values().length];
                Random ofKey = new Random(key.hashCode());
                for (int i = 0; i < values.length; i++) {
                    values[i] = magnitude
                            ? before.values()[i] * (0.6f + 0.8f * ofKey.nextFloat())
                            : 0.3f * (float) ofKey.nextGaussian();
                }
                trained.put(key, new FloatTensor(before.shape(), values));
            });
            fresh.with(trained, Map.of()).write(out, targets, base());
        }
    }

    /** Merges and exports. */
    PlantedFiles finish(Object... exportOptions) throws IOException {
        Cli.succeeds("merge", adapter(), "--into", base(), "--out", merged());
        export(merged(), exportOptions);
        return this;
    }

    void export(Path from, Object... options) throws IOException {
        Files.createDirectories(onnx().getParent());
        Object[] command = {"export-onnx", from, "--self-contained", "--overwrite", "--out", onnx()};
        Cli.succeeds(Stream.concat(Stream.of(command), Stream.of(options)).toArray());
    }

    static SequencedMap<String, FloatTensor> tensors(Path checkpoint) throws IOException {
        SequencedMap<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (Checkpoint open = Checkpoint.open(checkpoint)) {
            for (TensorView tensor : open.tensors().values()) {
                tensors.put(tensor.name(), new FloatTensor(tensor.shape(), tensor.toFloats()));
            }
        }
        return tensors;
    }

    /** Rewrites the merged checkpoint's tensors, and exports it again. */
    void change(Consumer<SequencedMap<String, FloatTensor>> change, Object... exportOptions) throws IOException {
        SequencedMap<String, FloatTensor> tensors = tensors(merged());
        change.accept(tensors);
        SafetensorsWriter.write(merged().resolve(Checkpoint.SINGLE), tensors, Map.of("format", "pt"));
        export(merged(), exportOptions);
    }

    void changeConfig(Path checkpoint, String from, String to) throws IOException {
        Path config = checkpoint.resolve(ModelConfig.FILE);
        String text = Files.readString(config);
        String changed = text.replaceAll(from, to);
        if (changed.equals(text)) {
            throw new AssertionError(from + " is not in " + text);
        }
        Files.writeString(config, changed);
    }

    void changeGraph(Consumer<GraphProto.Builder> change) throws IOException {
        ModelProto.Builder model = ModelProto.parseFrom(Files.readAllBytes(onnx())).toBuilder();
        change.accept(model.getGraphBuilder());
        Files.write(onnx(), model.build().toByteArray());
    }

    static float[] floats(ByteString bytes) {
        ByteBuffer buffer = bytes.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        float[] values = new float[buffer.remaining() / 4];
        buffer.asFloatBuffer().get(values);
        return values;
    }

    static ByteString bytes(float[] values) {
        ByteBuffer buffer = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        buffer.asFloatBuffer().put(values);
        return ByteString.copyFrom(buffer);
    }

    /** Lets all nodes read another value in the place of one. */
    static void reroute(GraphProto.Builder graph, String from, String to) {
        for (NodeProto.Builder node : graph.getNodeBuilderList()) {
            for (int i = 0; i < node.getInputCount(); i++) {
                if (node.getInput(i).equals(from)) {
                    node.setInput(i, to);
                }
            }
        }
    }

    static NodeProto node(String operator, String output, String... inputs) {
        return NodeProto.newBuilder()
                .setOpType(operator)
                .setName(operator + "/" + output)
                .addAllInput(List.of(inputs))
                .addOutput(output)
                .build();
    }

    static NodeProto with(NodeProto node, String attribute, long value) {
        return node.toBuilder()
                .addAttribute(AttributeProto.newBuilder()
                        .setName(attribute)
                        .setType(AttributeProto.AttributeType.INT)
                        .setI(value))
                .build();
    }

    static void constant(GraphProto.Builder graph, String name, long... values) {
        graph.addInitializer(TensorProto.newBuilder()
                .setName(name)
                .setDataType(TensorProto.DataType.INT64.getNumber())
                .addDims(values.length)
                .addAllInt64Data(java.util.Arrays.stream(values).boxed().toList()));
    }

    /** Stores a matrix in 8 bits, as quantizers do. */
    static void quantize(GraphProto.Builder graph, String name, float scaleFactor) {
        int index = 0;
        while (!graph.getInitializer(index).getName().equals(name)) {
            index++;
        }
        TensorProto tensor = graph.getInitializer(index);
        float[] values = floats(tensor.getRawData());
        float largest = 0;
        for (float value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        float scale = largest / 127;
        byte[] integers = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            integers[i] = (byte) Math.round(values[i] / scale);
        }
        graph.removeInitializer(index);
        graph.addInitializer(TensorProto.newBuilder()
                .setName(name + "_quantized")
                .setDataType(TensorProto.DataType.INT8.getNumber())
                .addAllDims(tensor.getDimsList())
                .setRawData(ByteString.copyFrom(integers)));
        graph.addInitializer(TensorProto.newBuilder()
                .setName(name + "_scale")
                .setDataType(TensorProto.DataType.FLOAT.getNumber())
                .setRawData(bytes(new float[] {scale * scaleFactor})));
        graph.addInitializer(TensorProto.newBuilder()
                .setName(name + "_zero_point")
                .setDataType(TensorProto.DataType.INT8.getNumber())
                .setRawData(ByteString.copyFrom(new byte[1])));
        graph.addNode(0, node("DequantizeLinear", name, name + "_quantized", name + "_scale", name + "_zero_point"));
    }

    static FloatTensor mapped(FloatTensor tensor, UnaryOperator<float[]> change) {
        return new FloatTensor(tensor.shape(), change.apply(tensor.values().clone()));
    }

    /** Rows (first axis) in another order. */
    static FloatTensor rows(FloatTensor tensor, UnaryOperator<int[]> order) {
        int rows = (int) tensor.shape().dim(0);
        int width = tensor.values().length / rows;
        int[] identity = new int[rows];
        for (int i = 0; i < rows; i++) {
            identity[i] = i;
        }
        int[] wanted = order.apply(identity);
        float[] values = new float[tensor.values().length];
        for (int row = 0; row < rows; row++) {
            System.arraycopy(tensor.values(), wanted[row] * width, values, row * width, width);
        }
        return new FloatTensor(tensor.shape(), values);
    }

    static Shape shape(long... dims) {
        return Shape.of(dims);
    }
}
