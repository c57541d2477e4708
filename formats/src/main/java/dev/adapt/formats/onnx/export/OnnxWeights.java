package dev.adapt.formats.onnx.export;

import com.google.protobuf.UnsafeByteOperations;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.proto.StringStringEntryProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.Function;

/** The weights that an exported graph reads, and where their bytes go. */
final class OnnxWeights {
    /** A multiple of what CPUs' and GPUs' widest loads want. */
    private static final int ALIGNMENT = 256;

    private final OnnxGraph graph;
    private final Function<String, Tensor> leaves;
    private final OnnxPrecision precision;
    private final Map<String, List<String>> optional;
    private final SequencedMap<String, StoredTensor> used = new LinkedHashMap<>();
    private final Map<String, OnnxValue> values = new LinkedHashMap<>();
    private final Map<OnnxValue, OnnxWeight> leafOfValue = new HashMap<>();
    private final Map<String, OnnxValue> turned = new LinkedHashMap<>();

    /**
     * @param leaves the tensor of a name
     * @param optional those, in memory, that are inputs too, which a run may replace: by name, their axes
     */
    OnnxWeights(
            OnnxGraph graph,
            Function<String, Tensor> leaves,
            OnnxPrecision precision,
            Map<String, List<String>> optional) {
        this.graph = graph;
        this.leaves = leaves;
        this.precision = precision;
        this.optional = optional;
    }

    /**
     * A weight as the graph computes with it: float32, or a matrix of an FP16 graph float16. Weights that are stored in
     * another type are cast when a session loads; an FP16 graph's matrices are stored in float16, and what a quantized
     * graph does not quantize in float32.
     *
     * @throws FormatException if its type is none of floating point
     */
    OnnxValue leaf(String name) {
        return values.computeIfAbsent(name, absent -> {
            boolean given = optional.containsKey(name);
            Tensor tensor = leaves.apply(name);
            OnnxWeight stored = new OnnxWeight(name, precision.isQuantized() ? new InFloat32(tensor) : tensor);
            boolean half = precision == OnnxPrecision.FP16
                    && !given
                    && stored.tensor().shape().rank() > 1;
            OnnxWeight weight = half ? stored.half() : stored;
            used.put(name, weight);
            if (given) {
                graph.declare(name, TensorProto.DataType.FLOAT, optional.getOrDefault(name, List.of()));
            }
            OnnxValue value = graph.weight(name, weight.type());
            OnnxValue leaf = half ? value : graph.cast(value, TensorProto.DataType.FLOAT);
            if (!given) {
                leafOfValue.put(leaf, weight);
            }
            return leaf;
        });
    }

    /** The weight that a value is; empty for one that is computed, or that a run may replace. */
    Optional<OnnxWeight> weightOf(OnnxValue value) {
        return Optional.ofNullable(leafOfValue.get(value));
    }

    /** The matrix that a value is, stored with rows and columns exchanged; empty for a value that is computed. */
    Optional<OnnxValue> transposed(OnnxValue matrix) {
        return weightOf(matrix).filter(weight -> weight.shape().rank() == 2).map(weight -> {
            OnnxValue stored = turned.computeIfAbsent(weight.name(), name -> {
                OnnxValue value = graph.weight(name, weight.type());
                used.put(value.name(), weight.transposed(value.name()));
                return value;
            });
            return graph.cast(stored, matrix.type());
        });
    }

    /** Adds a tensor that is computed from weights. */
    OnnxValue add(ComputedTensor tensor) {
        OnnxValue value = graph.weight(tensor.name(), tensor.type());
        used.put(value.name(), tensor.named(value.name()));
        return value;
    }

    /**
     * Drops weights, nodes and constants that the outputs do not need. A transposed matrix gets the name of the weight if
     * that is dropped.
     */
    void prune() {
        Set<String> read = graph.prune();
        used.values().removeIf(stored -> !read.contains(stored.name()) && !optional.containsKey(stored.name()));
        turned.forEach((name, value) -> {
            if (!read.contains(name) && used.remove(value.name()) instanceof OnnxWeight weight) {
                graph.rename(value, name);
                used.put(name, new OnnxWeight(name, weight.tensor(), weight.type(), true));
            }
        });
    }

    /** Whether weights have to be converted that lie in a file, and so cannot stay there. */
    boolean convertsFiles() {
        return used.values().stream().anyMatch(weight -> weight.file().isPresent() && weight.converted());
    }

    /**
     * Initialisers of weights that stay in the files they are in; those in memory are embedded.
     *
     * @param model where the model will be
     * @throws UsageException if a file does not lie in the model's folder or below
     */
    List<TensorProto> linked(Path model) throws IOException {
        List<TensorProto> initializers = new ArrayList<>();
        for (StoredTensor weight : used.values()) {
            initializers.add(weight.file().isPresent() ? link(weight, model) : embedded(weight));
        }
        return initializers;
    }

    /**
     * The same, but those of files that have to be converted are written to a file of data.
     *
     * @param data the file to make
     * @param location what it will be called, beside the model
     */
    List<TensorProto> linked(Path model, Path data, String location) throws IOException {
        List<TensorProto> initializers = new ArrayList<>();
        try (FileChannel channel = FileChannel.open(data, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (StoredTensor weight : used.values()) {
                if (weight.file().isEmpty()) {
                    initializers.add(embedded(weight));
                } else {
                    initializers.add(weight.converted() ? moved(weight, channel, location) : link(weight, model));
                }
            }
        }
        return initializers;
    }

    private static TensorProto link(StoredTensor weight, Path model) throws IOException {
        String location = location(model, weight.file().orElseThrow());
        return external(weight, location, weight.position(), weight.byteSize());
    }

    private static String location(Path model, Path weights) throws IOException {
        Path folder = model.toAbsolutePath().normalize().resolveSibling("");
        Path real = weights.toRealPath();
        if (!Files.isDirectory(folder) || !real.startsWith(folder.toRealPath())) {
            Path beside = weights.resolveSibling(String.valueOf(model.getFileName()));
            throw new UsageException(
                    "out " + model,
                    "the weights stay in " + weights
                            + ", and ONNX Runtime reads them only from the model's own folder or below it; give --out "
                            + beside + ", or --self-contained to copy the weights");
        }
        return folder.toRealPath().relativize(real).toString().replace('\\', '/');
    }

    /** Initialisers that hold the weights themselves. */
    List<TensorProto> embedded() {
        return used.values().stream().map(OnnxWeights::embedded).toList();
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
            for (StoredTensor weight : used.values()) {
                initializers.add(weight.byteSize() == 0 ? embedded(weight) : moved(weight, channel, location));
            }
        }
        return initializers;
    }

    private static TensorProto moved(StoredTensor weight, FileChannel channel, String location) throws IOException {
        long offset = Math.ceilDiv(channel.size(), ALIGNMENT) * ALIGNMENT;
        channel.position(offset);
        weight.write(channel);
        return external(weight, location, offset, weight.byteSize());
    }

    /** The bytes of all weights together. */
    long totalBytes() {
        return used.values().stream().mapToLong(StoredTensor::byteSize).sum();
    }

    private static TensorProto.Builder header(StoredTensor weight) {
        return TensorProto.newBuilder()
                .setName(weight.name())
                .setDataType(weight.type().getNumber())
                .addAllDims(weight.shape().dims());
    }

    private static TensorProto embedded(StoredTensor weight) {
        return header(weight)
                .setRawData(UnsafeByteOperations.unsafeWrap(weight.bytes().asByteBuffer()))
                .build();
    }

    private static TensorProto external(StoredTensor weight, String location, long offset, long length) {
        return header(weight)
                .setDataLocation(TensorProto.DataLocation.EXTERNAL)
                .addExternalData(entry("location", location))
                .addExternalData(entry("offset", Long.toString(offset)))
                .addExternalData(entry("length", Long.toString(length)))
                .build();
    }

    private static StringStringEntryProto entry(String key, String value) {
        return StringStringEntryProto.newBuilder().setKey(key).setValue(value).build();
    }
}
