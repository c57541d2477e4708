package dev.adapt.formats.onnx;

import com.google.protobuf.UnsafeByteOperations;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.onnx.proto.StringStringEntryProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.function.Function;

/** The weights that an exported graph reads, and where their bytes go. */
final class OnnxWeights {
    /** A multiple of what CPUs' and GPUs' widest loads want. */
    private static final int ALIGNMENT = 256;

    private final OnnxGraph graph;
    private final Function<String, Tensor> leaves;
    private final Map<String, List<String>> optional;
    private final SequencedMap<String, Tensor> used = new LinkedHashMap<>();
    private final Map<String, OnnxValue> values = new LinkedHashMap<>();

    /**
     * @param leaves the tensor of a name
     * @param optional those, in memory, that are inputs too, which a run may replace: by name, their axes
     */
    OnnxWeights(OnnxGraph graph, Function<String, Tensor> leaves, Map<String, List<String>> optional) {
        this.graph = graph;
        this.leaves = leaves;
        this.optional = optional;
    }

    /**
     * A weight as float32; one of another type is stored as it is, and cast when a session loads.
     *
     * @throws FormatException if its type is none of floating point
     */
    OnnxValue leaf(String name) {
        return values.computeIfAbsent(name, absent -> {
            Tensor tensor = leaves.apply(name);
            used.put(name, tensor);
            if (optional.containsKey(name)) {
                graph.declare(name, TensorProto.DataType.FLOAT, optional.get(name));
            }
            OnnxValue weight = graph.weight(name);
            return type(tensor) == TensorProto.DataType.FLOAT ? weight : new OnnxOps(graph).toFloat(weight);
        });
    }

    private static TensorProto.DataType type(Tensor tensor) {
        if (!(tensor instanceof TensorView view)) {
            return TensorProto.DataType.FLOAT;
        }
        return switch (view.dtype()) {
            case F32 -> TensorProto.DataType.FLOAT;
            case F16 -> TensorProto.DataType.FLOAT16;
            case BF16 -> TensorProto.DataType.BFLOAT16;
            case F64 -> TensorProto.DataType.DOUBLE;
            default ->
                throw new FormatException(
                        view.file(), view.name(), "holds " + view.dtype() + ", expected F32, F16, BF16 or F64");
        };
    }

    /**
     * Initialisers of weights that stay in the files they are in; those in memory are embedded.
     *
     * @param model where the model will be
     * @throws UsageException if a file does not lie in the model's folder or below
     */
    List<TensorProto> linked(Path model) throws IOException {
        List<TensorProto> initializers = new ArrayList<>();
        for (Map.Entry<String, Tensor> weight : used.entrySet()) {
            TensorProto.Builder header = header(weight);
            initializers.add(
                    weight.getValue() instanceof TensorView view
                            ? external(
                                    header,
                                    location(model, view.file()),
                                    view.position(),
                                    view.data().byteSize())
                            : embedded(header, weight.getValue()));
        }
        return initializers;
    }

    private static String location(Path model, Path weights) throws IOException {
        Path folder = model.toAbsolutePath().normalize().resolveSibling("");
        Path real = weights.toRealPath();
        if (!Files.isDirectory(folder) || !real.startsWith(folder.toRealPath())) {
            Path beside = weights.resolveSibling(String.valueOf(model.getFileName()));
            throw new UsageException("--out " + model + ": the weights stay in " + weights
                    + ", and ONNX Runtime reads them only from the model's own folder or below it; give --out "
                    + beside + ", or --self-contained to copy the weights");
        }
        return folder.toRealPath().relativize(real).toString().replace('\\', '/');
    }

    /** Initialisers that hold the weights themselves. */
    List<TensorProto> embedded() {
        return used.entrySet().stream()
                .map(weight -> embedded(header(weight), weight.getValue()))
                .toList();
    }

    /**
     * Initialisers of weights that are written to a file of data, each aligned to 256 bytes.
     *
     * @param data the file to make
     * @param location what it will be called, beside the model
     */
    List<TensorProto> moved(Path data, String location) throws IOException {
        List<TensorProto> initializers = new ArrayList<>();
        try (FileChannel channel = FileChannel.open(data, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (Map.Entry<String, Tensor> weight : used.entrySet()) {
                MemorySegment bytes = bytes(weight.getValue());
                if (bytes.byteSize() == 0) {
                    initializers.add(embedded(header(weight), weight.getValue()));
                    continue;
                }
                long offset = Math.ceilDiv(channel.size(), ALIGNMENT) * ALIGNMENT;
                write(channel, offset, bytes);
                initializers.add(external(header(weight), location, offset, bytes.byteSize()));
            }
        }
        return initializers;
    }

    private static void write(FileChannel channel, long offset, MemorySegment bytes) throws IOException {
        long step = 1 << 30;
        for (long done = 0; done < bytes.byteSize(); done += step) {
            ByteBuffer piece =
                    bytes.asSlice(done, Math.min(step, bytes.byteSize() - done)).asByteBuffer();
            channel.position(offset + done);
            while (piece.hasRemaining()) {
                channel.write(piece);
            }
        }
    }

    /** The bytes of all weights together. */
    long totalBytes() {
        return used.values().stream()
                .mapToLong(tensor -> tensor instanceof TensorView view
                        ? view.data().byteSize()
                        : Float.BYTES * tensor.shape().elements())
                .sum();
    }

    private static TensorProto.Builder header(Map.Entry<String, Tensor> weight) {
        return TensorProto.newBuilder()
                .setName(weight.getKey())
                .setDataType(type(weight.getValue()).getNumber())
                .addAllDims(weight.getValue().shape().dims());
    }

    private static TensorProto embedded(TensorProto.Builder header, Tensor tensor) {
        return header.setRawData(UnsafeByteOperations.unsafeWrap(bytes(tensor).asByteBuffer()))
                .build();
    }

    private static TensorProto external(TensorProto.Builder header, String location, long offset, long length) {
        return header.setDataLocation(TensorProto.DataLocation.EXTERNAL)
                .addExternalData(entry("location", location))
                .addExternalData(entry("offset", Long.toString(offset)))
                .addExternalData(entry("length", Long.toString(length)))
                .build();
    }

    private static StringStringEntryProto entry(String key, String value) {
        return StringStringEntryProto.newBuilder().setKey(key).setValue(value).build();
    }

    private static MemorySegment bytes(Tensor tensor) {
        return tensor instanceof TensorView view
                ? view.data()
                : MemorySegment.ofBuffer(new FloatTensor(tensor.shape(), tensor.toFloats()).toBytes());
    }
}
