package dev.adapt.formats.onnx.quantize;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;

/**
 * A matrix read row by row, so that its size in memory is that of a row.
 *
 * @param tensor [rows, columns]
 */
public record MatrixRows(Tensor tensor) {
    /** What is done with one row. */
    interface Use {
        /** Takes a row, whose array all calls share. */
        void of(int index, double[] row);
    }

    /** The rows of a matrix, or its columns as rows. */
    public static MatrixRows of(Tensor matrix, boolean columns) {
        return new MatrixRows(columns ? FloatTensor.of(matrix).transposed() : matrix);
    }

    /** The number of rows. */
    public int rows() {
        return Math.toIntExact(tensor.shape().dim(0));
    }

    /** The number of elements of a row. */
    public int columns() {
        return Math.toIntExact(tensor.shape().dim(1));
    }

    void forEach(Use use) {
        double[] row = new double[columns()];
        for (int i = 0; i < rows(); i++) {
            tensor.read((long) i * row.length, row, 0, row.length);
            use.of(i, row);
        }
    }
}
