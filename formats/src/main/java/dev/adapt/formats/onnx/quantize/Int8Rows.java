package dev.adapt.formats.onnx.quantize;

import dev.adapt.formats.tensor.FloatFormat;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A matrix in 8-bit integers from -127 to 127, with one scale a row: a value is its integer times the scale of its row. The
 * largest value of a row is exact but for the rounding of the scale.
 *
 * @param halfScales whether scales are float16, and the integers are those that fit the rounded scales; otherwise float32
 */
public record Int8Rows(MatrixRows matrix, boolean halfScales) {
    private static final int MOST = 127;

    /** The integers, [rows, columns]. */
    public ByteBuffer values() {
        byte[] values = new byte[Math.multiplyExact(matrix.rows(), matrix.columns())];
        matrix.forEach((index, row) -> {
            float scale = scale(row);
            for (int i = 0; i < row.length; i++) {
                values[index * row.length + i] = integer(row[i], scale);
            }
        });
        return ByteBuffer.wrap(values);
    }

    /** The integers with rows and columns exchanged, [columns, rows]. */
    public ByteBuffer turnedValues() {
        int rows = matrix.rows();
        byte[] values = new byte[Math.multiplyExact(rows, matrix.columns())];
        matrix.forEach((index, row) -> {
            float scale = scale(row);
            for (int i = 0; i < row.length; i++) {
                values[i * rows + index] = integer(row[i], scale);
            }
        });
        return ByteBuffer.wrap(values);
    }

    /** The scales, [rows]. */
    public ByteBuffer scales() {
        float[] scales = new float[matrix.rows()];
        matrix.forEach((index, row) -> scales[index] = scale(row));
        FloatFormat format = halfScales ? FloatFormat.F16 : FloatFormat.F32;
        ByteBuffer bytes = ByteBuffer.allocate(scales.length * format.bytes()).order(ByteOrder.LITTLE_ENDIAN);
        format.encode(scales, 0, scales.length, MemorySegment.ofBuffer(bytes));
        return bytes;
    }

    private float scale(double[] row) {
        double largest = 0;
        for (double value : row) {
            largest = Math.max(largest, Math.abs(value));
        }
        if (largest == 0) {
            return 1;
        }
        float scale = (float) (largest / MOST);
        if (!halfScales) {
            return scale;
        }
        float near = Float.float16ToFloat(Float.floatToFloat16(scale));
        // a scale rounded down would cut the largest value off
        return near >= scale ? near : Float.float16ToFloat((short) (Float.floatToFloat16(scale) + 1));
    }

    private static byte integer(double value, float scale) {
        return (byte) Math.clamp(Math.rint(value / scale), -MOST, MOST);
    }
}
