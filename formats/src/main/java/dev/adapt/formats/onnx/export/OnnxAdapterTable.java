package dev.adapt.formats.onnx.export;

import com.google.flatbuffers.Table;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.OnnxTensor;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.SequencedMap;

/** A table of an {@code .onnx_adapter} file, and the schema: the place of each field in the two kinds of tables. */
final class OnnxAdapterTable extends Table {
    /** FlatBuffers' mark of the format, at byte 4. */
    static final String IDENTIFIER = "TORT";

    /** The only version of the format so far. */
    static final int VERSION = 1;

    static final int FORMAT_VERSION = 0;
    static final int ADAPTER_VERSION = 1;
    static final int MODEL_VERSION = 2;
    static final int PARAMETERS = 3;
    static final int ADAPTER_FIELDS = 4;

    static final int NAME = 0;
    static final int DIMS = 1;
    static final int DATA_TYPE = 2;
    static final int RAW_DATA = 3;
    static final int PARAMETER_FIELDS = 4;

    /** The schema's number of float32, which is ONNX's. */
    static final int FLOAT = 1;

    /** No tensor of a graph has more. */
    private static final int MOST_AXES = 32;

    private OnnxAdapterTable(ByteBuffer file, int position) {
        __reset(position, file);
    }

    /**
     * The parameters of a file, by name in the file's order.
     *
     * @param path for messages
     */
    static SequencedMap<String, FloatTensor> read(Path path, ByteBuffer file) {
        SequencedMap<String, FloatTensor> tensors = new LinkedHashMap<>();
        parameters(path, file).forEach((name, parameter) -> tensors.put(name, parameter.tensor(path, name)));
        return tensors;
    }

    /** Checks what {@link #read} checks, but for the types of the tensors. */
    static void require(Path path, ByteBuffer file) {
        parameters(path, file);
    }

    private static SequencedMap<String, OnnxAdapterTable> parameters(Path path, ByteBuffer file) {
        file.order(ByteOrder.LITTLE_ENDIAN);
        byte[] identifier = IDENTIFIER.getBytes(StandardCharsets.US_ASCII);
        if (file.limit() < 8 || !file.slice(4, 4).equals(ByteBuffer.wrap(identifier))) {
            throw new FormatException(path, "is not an ONNX Runtime adapter: it lacks the mark " + IDENTIFIER);
        }
        try {
            OnnxAdapterTable adapter = new OnnxAdapterTable(file, file.getInt(0));
            int version = adapter.integer(FORMAT_VERSION);
            if (version != VERSION) {
                throw new FormatException(path, "has format version " + version + ", expected " + VERSION);
            }
            SequencedMap<String, OnnxAdapterTable> parameters = new LinkedHashMap<>();
            int count = adapter.length(PARAMETERS, Integer.BYTES);
            // tables may point to the same bytes: a small file could become a tensor of its size a thousand times over
            long left = file.limit();
            for (int i = 0; i < count; i++) {
                OnnxAdapterTable parameter = adapter.table(PARAMETERS, i);
                left -= parameter.length(NAME, 1) + (long) parameter.length(RAW_DATA, 1);
                if (left < 0) {
                    throw new FormatException(
                            path, "has parameters whose names and data together are longer than the file");
                }
                String name = parameter.text(NAME);
                parameter.requireBytes(path, name);
                if (parameters.put(name, parameter) != null) {
                    throw new FormatException(path, name, "is there twice");
                }
            }
            return parameters;
        } catch (IndexOutOfBoundsException | IllegalArgumentException | ArithmeticException e) {
            // FlatBuffers follows offsets without a check: a broken one leaves the file
            throw new FormatException(path, "is broken or truncated: an offset or a length leads out of it", e);
        }
    }

    private Shape shape() {
        long[] dims = new long[length(DIMS, Long.BYTES)];
        for (int axis = 0; axis < dims.length; axis++) {
            dims[axis] = bb.getLong(start(DIMS) + axis * Long.BYTES);
        }
        return Shape.of(dims);
    }

    private void requireBytes(Path path, String name) {
        int type = integer(DATA_TYPE);
        Dtype dtype = OnnxTensor.dtype(type)
                .orElseThrow(() ->
                        new FormatException(path, name, "has the data type " + type + ", which is not supported"));
        if (length(DIMS, Long.BYTES) > MOST_AXES) {
            throw new FormatException(path, name, "has " + length(DIMS, Long.BYTES) + " axes, more than " + MOST_AXES);
        }
        Shape shape = shape();
        int bytes = length(RAW_DATA, 1);
        if (Math.multiplyExact(shape.elements(), dtype.bits() / 8) != bytes) {
            throw new FormatException(path, name, shape + " of " + dtype + " does not take " + bytes + " bytes");
        }
    }

    private FloatTensor tensor(Path path, String name) {
        if (integer(DATA_TYPE) != FLOAT) {
            throw new FormatException(
                    path, name, "has the data type " + integer(DATA_TYPE) + ", expected " + FLOAT + ", float32");
        }
        int bytes = length(RAW_DATA, 1);
        float[] values = new float[bytes / Float.BYTES];
        bb.slice(start(RAW_DATA), bytes)
                .order(ByteOrder.LITTLE_ENDIAN)
                .asFloatBuffer()
                .get(values);
        return new FloatTensor(shape(), values);
    }

    private int at(int field) {
        return __offset(2 * Short.BYTES + field * Short.BYTES);
    }

    private int integer(int field) {
        return at(field) == 0 ? 0 : bb.getInt(bb_pos + at(field));
    }

    private String text(int field) {
        byte[] utf8 = new byte[length(field, 1)];
        bb.get(start(field), utf8);
        return new String(utf8, StandardCharsets.UTF_8);
    }

    /**
     * The elements of a vector, which ends inside the file: memory is not taken on a broken length's word.
     *
     * @param width bytes of an element
     */
    private int length(int field, int width) {
        if (at(field) == 0) {
            return 0;
        }
        int length = __vector_len(at(field));
        int start = start(field);
        if (length < 0 || start < 0 || (long) length * width > bb.limit() - (long) start) {
            throw new IndexOutOfBoundsException(length);
        }
        return length;
    }

    private int start(int field) {
        return at(field) == 0 ? 0 : __vector(at(field));
    }

    private OnnxAdapterTable table(int field, int index) {
        return new OnnxAdapterTable(bb, __indirect(start(field) + index * Integer.BYTES));
    }
}
