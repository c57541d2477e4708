package dev.adapt.merge;

import java.util.Arrays;

/** The kernels in plain Java. */
final class ScalarKernels implements Kernels {
    @Override
    public void addProduct(float[] tile, int rows, int columns, float[] left, int firstRow, int rank, float[] right) {
        float[] sums = new float[columns];
        for (int row = 0; row < rows; row++) {
            Arrays.fill(sums, 0);
            for (int k = 0; k < rank; k++) {
                float factor = left[(firstRow + row) * rank + k];
                for (int column = 0; column < columns; column++) {
                    sums[column] = Math.fma(factor, right[k * columns + column], sums[column]);
                }
            }
            for (int column = 0; column < columns; column++) {
                tile[row * columns + column] += sums[column];
            }
        }
    }
}
