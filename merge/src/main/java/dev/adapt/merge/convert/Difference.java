package dev.adapt.merge.convert;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.merge.lowrank.Rows;

/**
 * What one tensor of a file is more than another of the same shape, {@code tuned − base}, converted as it is read: a
 * tensor of any rank as a matrix of its first axis and all others.
 */
record Difference(
        TensorView tuned, TensorView base, FloatFormat tunedFormat, FloatFormat baseFormat, int rows, int columns)
        implements Rows {
    /**
     * The difference of two tensors.
     *
     * @throws FormatException if one holds no floating-point numbers
     */
    static Difference of(TensorView tuned, TensorView base) {
        int rows = tuned.shape().rank() == 0 ? 1 : Math.toIntExact(tuned.shape().dim(0));
        int columns = rows == 0 ? 0 : Math.toIntExact(tuned.shape().elements() / rows);
        return new Difference(tuned, base, format(tuned), format(base), rows, columns);
    }

    private static FloatFormat format(TensorView tensor) {
        return tensor.dtype()
                .floatFormat()
                .orElseThrow(() -> new FormatException(
                        tensor.file(), tensor.name(), "holds " + tensor.dtype() + ", expected floating-point numbers"));
    }

    @Override
    public void read(int row, double[] into, int at) {
        float[] values = new float[columns];
        tunedFormat.decode(tuned.data(), (long) row * columns, values, columns);
        for (int i = 0; i < columns; i++) {
            into[at + i] = values[i];
        }
        baseFormat.decode(base.data(), (long) row * columns, values, columns);
        for (int i = 0; i < columns; i++) {
            into[at + i] -= values[i];
        }
    }

    /** Whether the two tensors are equal, byte for byte or, in different dtypes, value for value. */
    boolean isZero() {
        boolean sameBytes = tuned.dtype() == base.dtype() && tuned.data().mismatch(base.data()) == -1;
        return sameBytes || largest() == 0;
    }
}
