package dev.adapt.formats.onnx.export;

import com.google.flatbuffers.FlatBufferBuilder;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import java.util.function.Function;

/**
 * ONNX Runtime's {@code .onnx_adapter} file: values for inputs of a graph, which a run takes in place of the graph's own
 * where the adapter is active.
 *
 * @param parameters float32 tensors by the names of the inputs they fill
 * @see <a href="https://onnxruntime.ai/docs/genai/reference/adapter.html">the format's specification</a>; its schema is
 *     onnxruntime/lora/adapter_format/adapter_schema.fbs in ONNX Runtime's sources
 */
public record OnnxAdapter(SequencedMap<String, FloatTensor> parameters) {
    /** What the names of such files end with. */
    public static final String SUFFIX = ".onnx_adapter";

    /** Versions of adapter and model are the user's own numbers, which ONNX Runtime keeps and does not compare. */
    private static final int USER_VERSION = 1;

    /** A buffer of FlatBuffers ends at 2 GiB; the rest is room for names and shapes. */
    private static final long MAX_BYTES = (1L << 31) - (1 << 26);

    /** The alignment of a tensor's bytes, by the schema. */
    private static final int ALIGNMENT = 8;

    /**
     * An adapter for a graph exported with {@link AdapterInputs}: of each adapted layer R [rank, in] and L [out, rank] of
     * {@code ΔW = L·R}, scale and diagonals folded in, computed in float64 and rounded once; of each module it holds whole
     * the tensors.
     *
     * @param weight the base's tensor of a canonical name; asked only for methods whose factors come from it
     * @throws UsageException if its updates are no products of low rank, as DoRA's are not
     */
    public static OnnxAdapter of(BoundAdapter adapter, Function<String, Tensor> weight) {
        AdapterInputs.requireLowRank(adapter);
        ReferenceOps ops = new ReferenceOps();
        SequencedMap<String, FloatTensor> parameters = new LinkedHashMap<>();
        Map<String, DoubleTensor> wide = new LinkedHashMap<>();
        for (Target target : adapter.targets()) {
            WeightChange<DoubleTensor> change = adapter.change(
                    ops,
                    target,
                    // the tensors that layers share are widened once
                    key -> wide.computeIfAbsent(
                            key,
                            absent -> DoubleTensor.of(
                                    Objects.requireNonNull(adapter.tensors().get(absent)))),
                    () -> DoubleTensor.of(target.upright(weight.apply(target.canonical() + ".weight"))));
            LowRank<DoubleTensor> update = change.lowRank().orElseThrow();
            parameters.put(AdapterInputs.right(target.canonical()), rounded(update.foldedRight(ops)));
            parameters.put(AdapterInputs.left(target.canonical()), rounded(update.foldedLeft(ops)));
        }
        adapter.saved().forEach((name, tensor) -> parameters.put(name, FloatTensor.of(tensor)));
        return new OnnxAdapter(parameters);
    }

    private static FloatTensor rounded(DoubleTensor tensor) {
        return new FloatTensor(tensor.shape(), tensor.toFloats());
    }

    /**
     * Reads a file.
     *
     * @throws FormatException if it is not such a file, or holds anything but whole float32 tensors
     */
    public static OnnxAdapter read(Path path) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            return new OnnxAdapter(OnnxAdapterTable.read(path, map(path, arena)));
        }
    }

    /**
     * Checks a file without reading its values, before an engine in native code does: all offsets lead into it, and each
     * tensor has as many bytes as its shape and type need.
     *
     * @throws FormatException if one of it does not hold
     */
    public static void require(Path path) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            OnnxAdapterTable.require(path, map(path, arena));
        }
    }

    private static ByteBuffer map(Path path, Arena arena) throws IOException {
        InputFile file = InputFile.named(path);
        file.requireAtMost(Limit.ADAPTER_TABLE);
        return file.map(arena).asByteBuffer();
    }

    /** Whether a path is named as such files are. */
    public static boolean isNamed(Path path) {
        return path.toString().endsWith(SUFFIX);
    }

    /** The bytes of its tensors. */
    public long bytes() {
        return parameters.values().stream()
                .mapToLong(tensor -> Float.BYTES * tensor.shape().elements())
                .sum();
    }

    /**
     * Writes the file, which must not exist.
     *
     * @throws UsageException if the name does not end with .onnx_adapter, or the adapter is too large for the format
     */
    public void write(Path out) throws IOException {
        write(out, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public void write(Path out, Outputs outputs) throws IOException {
        if (!isNamed(out)) {
            // an input's name, mistaken for the output's, never ends so
            throw new UsageException("out " + out, "expected a file name that ends with " + SUFFIX);
        }
        if (bytes() > MAX_BYTES) {
            throw new UsageException(
                    "out " + out,
                    "the adapter has " + bytes() + " bytes, and an " + SUFFIX
                            + " file holds less than 2 GB; reduce its rank, or merge it");
        }
        try (OutputFile pending = outputs.file(out)) {
            try (FileChannel channel = pending.open()) {
                WholeIo.write(channel, encoded());
            } catch (IOException e) {
                throw OutputFile.unwritable(out, e);
            }
            pending.commit();
        }
    }

    private ByteBuffer encoded() {
        FlatBufferBuilder builder = new FlatBufferBuilder(Math.toIntExact(bytes() + (1 << 16)));
        int[] tables = parameters.entrySet().stream()
                .mapToInt(parameter -> parameter(builder, parameter.getKey(), parameter.getValue()))
                .toArray();
        int list = builder.createVectorOfTables(tables);
        builder.startTable(OnnxAdapterTable.ADAPTER_FIELDS);
        builder.addInt(OnnxAdapterTable.FORMAT_VERSION, OnnxAdapterTable.VERSION, 0);
        builder.addInt(OnnxAdapterTable.ADAPTER_VERSION, USER_VERSION, 0);
        builder.addInt(OnnxAdapterTable.MODEL_VERSION, USER_VERSION, 0);
        builder.addOffset(OnnxAdapterTable.PARAMETERS, list, 0);
        builder.finish(builder.endTable(), OnnxAdapterTable.IDENTIFIER);
        return builder.dataBuffer();
    }

    private static int parameter(FlatBufferBuilder builder, String name, FloatTensor tensor) {
        int nameAt = builder.createString(name);
        long[] dims = tensor.shape().toArray();
        // FlatBuffers grow from their end
        builder.startVector(Long.BYTES, dims.length, Long.BYTES);
        for (int axis = dims.length - 1; axis >= 0; axis--) {
            builder.addLong(dims[axis]);
        }
        int dimsAt = builder.endVector();
        ByteBuffer bytes = tensor.toBytes();
        builder.createUnintializedVector(1, bytes.remaining(), ALIGNMENT).put(bytes);
        int dataAt = builder.endVector();
        builder.startTable(OnnxAdapterTable.PARAMETER_FIELDS);
        builder.addOffset(OnnxAdapterTable.NAME, nameAt, 0);
        builder.addOffset(OnnxAdapterTable.DIMS, dimsAt, 0);
        builder.addInt(OnnxAdapterTable.DATA_TYPE, OnnxAdapterTable.FLOAT, 0);
        builder.addOffset(OnnxAdapterTable.RAW_DATA, dataAt, 0);
        return builder.endTable();
    }
}
