package dev.adapt.formats.onnx;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.WireFormat;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.proto.ModelProto;
import java.io.IOException;
import java.nio.file.Path;

/**
 * Bounds the memory that parsing a model takes. Two bytes of a file become an object of a hundred where they are an empty
 * message, so the file's size is no bound. Tensors' raw bytes cost nothing: they stay in the mapped file.
 */
final class OnnxBudget {
    /** Bytes of heap. A graph of a hundred thousand nodes takes about half of it. */
    private static final long MOST = 1L << 28;

    /** Messages in messages; each graph in a graph is three deep. */
    private static final int DEEPEST = 64;

    private static final int MESSAGE = 160;
    private static final int TEXT = 64;

    private final Path path;
    private long left = MOST;

    private OnnxBudget(Path path) {
        this.path = path;
    }

    /**
     * Reads a model's structure without keeping anything.
     *
     * @throws FormatException if it nests too deep or would take more memory than a graph needs
     * @throws com.google.protobuf.InvalidProtocolBufferException if it is no valid message
     */
    static void check(Path path, CodedInputStream in) throws IOException {
        new OnnxBudget(path).walk(in, ModelProto.getDescriptor(), 0);
    }

    private void walk(CodedInputStream in, Descriptor message, int depth) throws IOException {
        if (depth > DEEPEST) {
            throw new FormatException(path, "nests graphs in graphs more than " + DEEPEST / 3 + " deep");
        }
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            FieldDescriptor field = message.findFieldByNumber(WireFormat.getTagFieldNumber(tag));
            if (WireFormat.getTagWireType(tag) != WireFormat.WIRETYPE_LENGTH_DELIMITED) {
                spend(field == null ? TEXT : Long.BYTES);
                in.skipField(tag);
                continue;
            }
            int size = in.readRawVarint32();
            if (field != null && field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
                spend(MESSAGE);
                int outer = in.pushLimit(size);
                walk(in, field.getMessageType(), depth + 1);
                in.checkLastTagWas(0);
                in.popLimit(outer);
            } else {
                spend(field == null ? MESSAGE : cost(field, size));
                in.skipRawBytes(size);
            }
        }
    }

    private static long cost(FieldDescriptor field, int size) {
        return switch (field.getType()) {
            case BYTES -> TEXT;
            case STRING -> TEXT + (long) size;
            // four or eight bytes each in the file and in memory
            case FLOAT, DOUBLE -> size;
            // an integer takes one byte of the file or more
            default -> (long) Long.BYTES * size;
        };
    }

    private void spend(long bytes) {
        left -= bytes;
        if (left < 0) {
            throw new FormatException(
                    path,
                    "would take more than " + (MOST >> 20)
                            + " MB of memory besides its tensors' raw data: it is no usual"
                            + " model, or stores its tensors as lists of numbers; save it with raw_data");
        }
    }
}
