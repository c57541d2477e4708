package dev.adapt.formats.onnx.export;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Optional;

/**
 * A weight as an exported model stores it.
 *
 * @param type float16 for a weight that is to be converted, else that of the tensor
 * @param turned whether a matrix is stored with rows and columns exchanged
 */
record OnnxWeight(String name, Tensor tensor, TensorProto.DataType type, boolean turned) implements StoredTensor {
    /** Elements read from a file at a time, and converted at a time, in the cache. */
    private static final int PIECE = 1 << 20;

    private static final int DECODED = 1 << 13;

    /** From here on, float16's nearest value is infinity. */
    private static final float TOO_LARGE = 65520;

    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /**
     * A weight in its own type.
     *
     * @throws FormatException if that is none of floating point
     */
    OnnxWeight(String name, Tensor tensor) {
        this(name, tensor, own(tensor), false);
    }

    private static TensorProto.DataType own(Tensor tensor) {
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

    /** The same in float16, each value rounded once. */
    OnnxWeight half() {
        return new OnnxWeight(name, tensor, TensorProto.DataType.FLOAT16, turned);
    }

    /** The same matrix with rows and columns exchanged. */
    OnnxWeight transposed(String otherName) {
        return new OnnxWeight(otherName, tensor, type, !turned);
    }

    @Override
    public Shape shape() {
        Shape own = tensor.shape();
        return turned ? Shape.of(own.dim(1), own.dim(0)) : own;
    }

    @Override
    public boolean converted() {
        return turned || hasOtherType();
    }

    private boolean hasOtherType() {
        return type != own(tensor);
    }

    @Override
    public Optional<Path> file() {
        return tensor instanceof TensorView view ? Optional.of(view.file()) : Optional.empty();
    }

    @Override
    public long position() {
        return tensor instanceof TensorView view ? view.position() : 0;
    }

    @Override
    public long byteSize() {
        return width() * tensor.shape().elements();
    }

    private long width() {
        return switch (type) {
            case DOUBLE -> Double.BYTES;
            case FLOAT -> Float.BYTES;
            default -> Short.BYTES;
        };
    }

    /**
     * Its bytes as stored.
     *
     * @throws FormatException if a value is too large for float16; a {@link UsageException} if it is an adapter's
     */
    @Override
    public MemorySegment bytes() {
        MemorySegment upright =
                hasOtherType() ? converted(source(), tensor.shape().elements()) : source();
        return turned ? turned(upright, 0, tensor.shape().dim(1)) : upright;
    }

    /** Columns {@code from} to {@code to} of the tensor as rows. */
    private MemorySegment turned(MemorySegment upright, long from, long to) {
        long rows = tensor.shape().dim(0);
        long columns = tensor.shape().dim(1);
        long width = width();
        MemorySegment rowsOfColumns =
                MemorySegment.ofBuffer(ByteBuffer.allocateDirect(Math.toIntExact(rows * (to - from) * width)));
        for (long row = 0; row < rows; row++) {
            for (long column = from; column < to; column++) {
                MemorySegment.copy(
                        upright,
                        (row * columns + column) * width,
                        rowsOfColumns,
                        ((column - from) * rows + row) * width,
                        width);
            }
        }
        return rowsOfColumns;
    }

    /** Writes its bytes as stored. Files are read and not mapped: what was mapped would count as this process's memory. */
    @Override
    public void write(FileChannel out) throws IOException {
        if (turned) {
            writeTurned(out);
            return;
        }
        if (!(tensor instanceof TensorView view)) {
            write(bytes(), out);
            return;
        }
        if (hasOtherType()) {
            writeConverted(view, out);
            return;
        }
        long size = view.info().bytes();
        for (long done = 0; done < size; ) {
            long moved = view.channel().transferTo(view.position() + done, size - done, out);
            if (moved <= 0) {
                throw view.shortened();
            }
            done += moved;
        }
    }

    private void writeTurned(FileChannel out) throws IOException {
        MemorySegment upright =
                hasOtherType() ? converted(source(), tensor.shape().elements()) : source();
        long columns = tensor.shape().dim(1);
        long some = Math.max(1, PIECE / Math.max(1, tensor.shape().dim(0)));
        for (long from = 0; from < columns; from += some) {
            write(turned(upright, from, Math.min(columns, from + some)), out);
        }
    }

    private void writeConverted(TensorView view, FileChannel out) throws IOException {
        int width = view.dtype().bits() / 8;
        MemorySegment piece = MemorySegment.ofBuffer(ByteBuffer.allocateDirect(PIECE * width));
        long elements = view.shape().elements();
        for (long from = 0; from < elements; from += PIECE) {
            int count = (int) Math.min(PIECE, elements - from);
            view.copy(from * width, piece.asSlice(0, (long) count * width));
            write(converted(piece, count), out);
        }
    }

    private static void write(MemorySegment bytes, FileChannel out) throws IOException {
        WholeIo.write(out, bytes.asByteBuffer());
    }

    private MemorySegment source() {
        return tensor instanceof TensorView view
                ? view.data()
                : MemorySegment.ofBuffer(new FloatTensor(tensor.shape(), tensor.toFloats()).toBytes());
    }

    /** The first elements of some of its bytes, converted. */
    private MemorySegment converted(MemorySegment bytes, long count) {
        FloatFormat format =
                tensor instanceof TensorView view ? view.dtype().floatFormat().orElseThrow() : FloatFormat.F32;
        MemorySegment target = MemorySegment.ofArray(new byte[Math.toIntExact(count * Short.BYTES)]);
        float[] values = new float[(int) Math.min(DECODED, count)];
        for (long done = 0; done < count; done += values.length) {
            int some = (int) Math.min(values.length, count - done);
            if (format == FloatFormat.F64) {
                narrow(bytes, done, values, some);
            } else {
                format.decode(bytes, done, values, some);
            }
            requireRange(values, some);
            FloatFormat.F16.encode(values, 0, some, target.asSlice(done * Short.BYTES));
        }
        return target;
    }

    /**
     * Rounds to odd, so that rounding to float16 next is the same as rounding once (Boldo and Melquiond, 2008, theorem 1).
     */
    private static void narrow(MemorySegment bytes, long from, float[] values, int count) {
        for (int i = 0; i < count; i++) {
            double value = bytes.get(DOUBLE, (from + i) * Double.BYTES);
            float near = (float) value;
            boolean even = (Float.floatToRawIntBits(near) & 1) == 0;
            values[i] = near != value && even ? Math.nextAfter(near, value) : near;
        }
    }

    private void requireRange(float[] values, int count) {
        for (int i = 0; i < count; i++) {
            if (Math.abs(values[i]) >= TOO_LARGE && Float.isFinite(values[i])) {
                String holds = "holds " + values[i] + ", and float16 ends at 65504; export it without --dtype fp16";
                throw file().<RuntimeException>map(path -> new FormatException(path, name, holds))
                        .orElseGet(() -> new UsageException("dtype fp16", "the adapter's " + name + " " + holds));
            }
        }
    }
}
