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

    /** The elements of any tensor, in memory. */
    public static FloatTensor of(Tensor tensor) {
        return tensor instanceof FloatTensor same ? same : new FloatTensor(tensor.shape(), tensor.toFloats());
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        for (int i = 0; i < count; i++) {
            into[at + i] = values[Math.toIntExact(from) + i];
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
}
