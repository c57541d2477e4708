package dev.adapt.formats.tensor;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A float32 tensor in memory, row-major; the values are shared, not copied. */
@SuppressWarnings("ArrayRecordComponent")
public record FloatTensor(Shape shape, float[] values) implements Tensor {
    public FloatTensor {
        if (shape.elements() != values.length) {
            throw new IllegalArgumentException(shape + " does not hold " + values.length + " values");
        }
    }

    /** The elements themselves, not a copy. */
    @Override
    public float[] toFloats() {
        return values;
    }

    /** The matrix with rows and columns exchanged, a copy. */
    public FloatTensor transposed() {
        int rows = Math.toIntExact(shape.dim(0));
        int columns = Math.toIntExact(shape.dim(1));
        float[] turned = new float[values.length];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                turned[column * rows + row] = values[row * columns + column];
            }
        }
        return new FloatTensor(Shape.of(columns, rows), turned);
    }

    /** The elements as little-endian bytes. */
    public ByteBuffer toBytes() {
        ByteBuffer bytes = ByteBuffer.allocate(Math.multiplyExact(values.length, Float.BYTES))
                .order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return bytes;
    }

    /** The {@link TensorDigest} of the tensor as F32. */
    public String sha256() {
        return new TensorDigest("F32", shape).add(toBytes()).hex();
    }
}
