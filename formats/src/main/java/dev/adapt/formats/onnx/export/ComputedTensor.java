package dev.adapt.formats.onnx.export;

import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * A tensor that is computed from weights when it is written.
 *
 * @param values its bytes, {@code byteSize} of them
 */
record ComputedTensor(String name, TensorProto.DataType type, Shape shape, long byteSize, Supplier<ByteBuffer> values)
        implements StoredTensor {
    /** The same under another name. */
    ComputedTensor named(String otherName) {
        return new ComputedTensor(otherName, type, shape, byteSize, values);
    }

    @Override
    public Optional<Path> file() {
        return Optional.empty();
    }

    @Override
    public long position() {
        return 0;
    }

    @Override
    public boolean converted() {
        return true;
    }

    @Override
    public MemorySegment bytes() {
        ByteBuffer bytes = values.get();
        if (bytes.remaining() != byteSize) {
            throw new IllegalStateException(name + " has " + bytes.remaining() + " bytes, expected " + byteSize);
        }
        return MemorySegment.ofBuffer(bytes);
    }

    @Override
    public void write(FileChannel out) throws IOException {
        WholeIo.write(out, bytes().asByteBuffer());
    }
}
