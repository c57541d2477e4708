package dev.adapt.formats.onnx;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnsafeByteOperations;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.StringStringEntryProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** An open ONNX model: its messages parsed, its tensors' bytes mapped, in the file or in those it points to. */
public final class OnnxFile implements AutoCloseable {
    private final Path path;
    private final Arena arena;
    private final ModelProto model;
    private final Map<Path, MemorySegment> external = new HashMap<>();
    private final List<Snapshot> snapshots = new ArrayList<>();

    private OnnxFile(Path path, Arena arena, ModelProto model) {
        this.path = path;
        this.arena = arena;
        this.model = model;
    }

    /**
     * Opens a model.
     *
     * @throws FormatException if it is not an ONNX model
     */
    @SuppressWarnings("MustBeClosedChecker") // the arena is closed with the file it maps
    public static OnnxFile open(Path path) throws IOException {
        Arena arena = Arena.ofShared();
        try {
            InputFile file = InputFile.named(path);
            file.requireAtMost(Limit.ONNX);
            OnnxFile opened = new OnnxFile(path, arena, parse(path, file.map(arena)));
            opened.snapshots.add(file.snapshot());
            return opened;
        } catch (IOException | RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    private static ModelProto parse(Path path, MemorySegment bytes) throws IOException {
        // aliasing leaves the weights where they are, in the mapping
        ByteString whole = UnsafeByteOperations.unsafeWrap(bytes.asByteBuffer());
        CodedInputStream in = whole.newCodedInput();
        in.enableAliasing(true);
        try {
            OnnxBudget.check(path, whole.newCodedInput());
            ModelProto model = ModelProto.parseFrom(in);
            if (model.getGraph().getNodeCount() == 0) {
                throw new FormatException(path, "is not an ONNX model: it holds no graph");
            }
            return model;
        } catch (InvalidProtocolBufferException e) {
            throw new FormatException(path, "is truncated or not an ONNX model", e);
        }
    }

    public Path path() {
        return path;
    }

    /** The states of all files it reads, before they were opened. */
    public List<Snapshot> snapshots() {
        return List.copyOf(snapshots);
    }

    public GraphProto graph() {
        return model.getGraph();
    }

    ModelProto model() {
        return model;
    }

    /**
     * A tensor with its bytes.
     *
     * @param name what errors and the result call it
     * @throws FormatException if its type is not supported, or its bytes are not as many as its shape needs, or lie
     *     outside the model's folder
     */
    public OnnxTensor tensor(String name, TensorProto proto) throws IOException {
        Dtype dtype = OnnxTensor.dtype(proto.getDataType())
                .orElseThrow(() -> new FormatException(
                        path, name, "has the element type " + proto.getDataType() + ", which is not supported"));
        Shape shape;
        long bytes;
        try {
            shape = new Shape(proto.getDimsList());
            bytes = Math.multiplyExact(shape.elements(), dtype.bits() / 8);
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw new FormatException(path, name, "has an impossible shape " + proto.getDimsList());
        }
        MemorySegment data = proto.getDataLocation() == TensorProto.DataLocation.EXTERNAL
                ? external(name, proto, bytes)
                : inner(name, proto, dtype, shape);
        requireSize(name, dtype, shape, data.byteSize());
        return new OnnxTensor(name, dtype, shape, data);
    }

    /** Refuses external data that is not there, as {@link #tensor} does, of a tensor of any type. */
    void requireData(TensorProto proto) throws IOException {
        String name = proto.getName().isEmpty() ? "a constant without a name" : proto.getName();
        boolean external = proto.getDataLocation() == TensorProto.DataLocation.EXTERNAL;
        boolean listed = !external && proto.getRawData().isEmpty();
        Optional<Dtype> dtype = OnnxTensor.dtype(proto.getDataType());
        if (dtype.isPresent() && !(listed && (dtype.get() == Dtype.U32 || dtype.get() == Dtype.U64))) {
            tensor(name, proto);
        } else if (external) {
            external(name, proto, 0);
        }
    }

    private void requireSize(String name, Dtype dtype, Shape shape, long found) {
        long needed = shape.elements() * dtype.bits() / 8;
        if (found != needed) {
            throw new FormatException(
                    path, name, shape + " of " + dtype + " needs " + needed + " bytes, found " + found);
        }
    }

    private MemorySegment inner(String name, TensorProto proto, Dtype dtype, Shape shape) {
        ByteString raw = proto.getRawData();
        if (!raw.isEmpty()) {
            return MemorySegment.ofBuffer(raw.asReadOnlyByteBuffer());
        }
        long count = switch (dtype) {
            case F32 -> proto.getFloatDataCount();
            case F64 -> proto.getDoubleDataCount();
            case I64 -> proto.getInt64DataCount();
            default -> proto.getInt32DataCount();
        };
        long needed = count * dtype.bits() / 8;
        requireSize(name, dtype, shape, needed);
        if (needed > Integer.MAX_VALUE) {
            throw new FormatException(path, name, "lists " + count + " numbers: such a tensor has to be raw data");
        }
        ByteBuffer bytes = ByteBuffer.allocate((int) needed).order(ByteOrder.LITTLE_ENDIAN);
        switch (dtype) {
            case F32 -> proto.getFloatDataList().forEach(bytes::putFloat);
            case F64 -> proto.getDoubleDataList().forEach(bytes::putDouble);
            case I64 -> proto.getInt64DataList().forEach(bytes::putLong);
            case I32 -> proto.getInt32DataList().forEach(bytes::putInt);
            case F16, BF16, I16, U16 -> proto.getInt32DataList().forEach(bits -> bytes.putShort(bits.shortValue()));
            case I8, U8, BOOL -> proto.getInt32DataList().forEach(bits -> bytes.put(bits.byteValue()));
            default -> {}
        }
        return MemorySegment.ofBuffer(bytes.flip());
    }

    private MemorySegment external(String name, TensorProto proto, long bytes) throws IOException {
        Map<String, String> keys = proto.getExternalDataList().stream()
                .collect(Collectors.toMap(
                        StringStringEntryProto::getKey, StringStringEntryProto::getValue, (first, second) -> second));
        Path file = beside(name, keys.getOrDefault("location", ""));
        InputFile beside = inFolder(name, file);
        Path real = file.toRealPath();
        MemorySegment whole = external.get(real);
        if (whole == null) {
            whole = beside.map(arena);
            external.put(real, whole);
            snapshots.add(beside.snapshot());
        }
        long offset = number(name, keys, "offset", 0);
        long length = number(name, keys, "length", bytes);
        if (offset < 0 || length < 0 || offset > whole.byteSize() - length) {
            throw new FormatException(
                    path,
                    name,
                    "lies at bytes " + offset + " to "
                            + BigInteger.valueOf(offset).add(BigInteger.valueOf(length)) + " of " + file
                            + ", which has " + whole.byteSize());
        }
        return whole.asSlice(offset, length);
    }

    /** The file, which links must not lead out of the model's folder. */
    private InputFile inFolder(String name, Path file) throws IOException {
        try {
            return InputFile.within(path.toAbsolutePath().resolveSibling(""), file);
        } catch (FormatException e) {
            throw new FormatException(path, name, "has its data in a file that is refused: " + e.getMessage());
        }
    }

    private long number(String name, Map<String, String> keys, String key, long otherwise) {
        String text = keys.get(key);
        try {
            return text == null ? otherwise : Long.parseLong(text);
        } catch (NumberFormatException e) {
            throw new FormatException(path, name, "its external data's " + key + " is \"" + text + "\", not a number");
        }
    }

    /** The file of external data, which must lie in the model's folder or below it. */
    private Path beside(String name, String location) throws IOException {
        Path folder = path.toAbsolutePath().normalize().resolveSibling("");
        Path relative;
        try {
            relative = Path.of(location);
        } catch (InvalidPathException e) {
            throw new FormatException(path, name, "has its data in a file whose name cannot be: " + e.getReason());
        }
        boolean inside = !location.isEmpty()
                && !relative.isAbsolute()
                && folder.resolve(relative).normalize().startsWith(folder);
        if (!inside) {
            throw new FormatException(
                    path, name, "has its data in \"" + location + "\": expected a relative path in the model's folder");
        }
        Path file = folder.resolve(relative);
        if (!Files.isRegularFile(file)) {
            throw new FormatException(
                    path,
                    name,
                    "has its data in " + file + ", which " + (Files.exists(file) ? "is no file" : "does not exist"));
        }
        return file;
    }

    @Override
    public void close() {
        arena.close();
    }
}
