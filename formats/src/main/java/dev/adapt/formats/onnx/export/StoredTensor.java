package dev.adapt.formats.onnx.export;

import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Optional;

/** A tensor that an exported model reads, in the form in which it is stored. */
sealed interface StoredTensor permits OnnxWeight, ComputedTensor {
    /** Its name in the graph. */
    String name();

    /** The type of its elements. */
    TensorProto.DataType type();

    /** Its dimensions. */
    Shape shape();

    /** The size in bytes. */
    long byteSize();

    /** The checkpoint's file that holds the tensor it is made from. */
    Optional<Path> file();

    /** Where that tensor's first byte lies in the file. */
    long position();

    /** Whether its bytes differ from those of that tensor. */
    boolean converted();

    /** Its bytes. */
    MemorySegment bytes();

    /** Writes its bytes. */
    void write(FileChannel out) throws IOException;
}
