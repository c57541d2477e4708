package dev.adapt.formats.onnx;

import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.Optional;

/**
 * A tensor of an ONNX file.
 *
 * @param data its elements, little-endian and row-major
 */
public record OnnxTensor(String name, Dtype dtype, Shape shape, MemorySegment data) {
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private static final Map<TensorProto.DataType, Dtype> DTYPES = Map.ofEntries(
            Map.entry(TensorProto.DataType.FLOAT, Dtype.F32),
            Map.entry(TensorProto.DataType.UINT8, Dtype.U8),
            Map.entry(TensorProto.DataType.INT8, Dtype.I8),
            Map.entry(TensorProto.DataType.UINT16, Dtype.U16),
            Map.entry(TensorProto.DataType.INT16, Dtype.I16),
            Map.entry(TensorProto.DataType.INT32, Dtype.I32),
            Map.entry(TensorProto.DataType.INT64, Dtype.I64),
            Map.entry(TensorProto.DataType.BOOL, Dtype.BOOL),
            Map.entry(TensorProto.DataType.FLOAT16, Dtype.F16),
            Map.entry(TensorProto.DataType.DOUBLE, Dtype.F64),
            Map.entry(TensorProto.DataType.UINT32, Dtype.U32),
            Map.entry(TensorProto.DataType.UINT64, Dtype.U64),
            Map.entry(TensorProto.DataType.BFLOAT16, Dtype.BF16));

    /** The dtype of ONNX's {@code data_type} number, if safetensors has it too. */
    public static Optional<Dtype> dtype(int dataType) {
        return Optional.ofNullable(TensorProto.DataType.forNumber(dataType)).map(DTYPES::get);
    }

    /** ONNX's type for a dtype, if it has it. */
    public static Optional<TensorProto.DataType> dataType(Dtype dtype) {
        return DTYPES.entrySet().stream()
                .filter(entry -> entry.getValue() == dtype)
                .map(Map.Entry::getKey)
                .findFirst();
    }

    /** Whether it can hold parameters: F64, F32, F16 or BF16. */
    public boolean isFloat() {
        return switch (dtype) {
            case F64, F32, F16, BF16 -> true;
            default -> false;
        };
    }

    /** All elements of an I64 tensor. */
    public long[] longs() {
        return data.toArray(LONG);
    }

    /** The only element of an F32 tensor, if it is one. */
    public Optional<Float> scalar() {
        return dtype == Dtype.F32 && shape.elements() == 1 ? Optional.of(data.get(FLOAT, 0)) : Optional.empty();
    }

    /** Columns {@code from} to {@code to} of a matrix as rows, in memory of the arena. */
    public MemorySegment transposed(Arena arena, long from, long to) {
        long rows = shape.dim(0);
        long columns = shape.dim(1);
        long width = dtype.bits() / 8;
        MemorySegment turned = arena.allocate(rows * (to - from) * width, width);
        for (long row = 0; row < rows; row++) {
            for (long column = from; column < to; column++) {
                MemorySegment.copy(
                        data, (row * columns + column) * width, turned, ((column - from) * rows + row) * width, width);
            }
        }
        return turned;
    }
}
