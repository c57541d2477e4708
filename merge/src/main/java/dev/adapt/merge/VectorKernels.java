package dev.adapt.merge;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The kernels on the Vector API. */
final class VectorKernels implements Kernels {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;

    /** Rows that share each load of the right factor: four sums and the load leave registers free on every machine. */
    private static final int ROWS = 4;

    @Override
    public void addProduct(float[] tile, int rows, int columns, float[] left, int firstRow, int rank, float[] right) {
        int row = 0;
        for (; row + ROWS <= rows; row += ROWS) {
            fourRows(tile, row, columns, left, firstRow + row, rank, right);
        }
        for (; row < rows; row++) {
            oneRow(tile, row, columns, left, firstRow + row, rank, right);
        }
    }

    private static void fourRows(
            float[] tile, int row, int columns, float[] left, int leftRow, int rank, float[] right) {
        int bound = SPECIES.loopBound(columns);
        int l0 = leftRow * rank;
        int l1 = l0 + rank;
        int l2 = l1 + rank;
        int l3 = l2 + rank;
        int column = 0;
        for (; column < bound; column += SPECIES.length()) {
            FloatVector s0 = FloatVector.zero(SPECIES);
            FloatVector s1 = s0;
            FloatVector s2 = s0;
            FloatVector s3 = s0;
            for (int k = 0; k < rank; k++) {
                FloatVector r = FloatVector.fromArray(SPECIES, right, k * columns + column);
                s0 = r.fma(FloatVector.broadcast(SPECIES, left[l0 + k]), s0);
                s1 = r.fma(FloatVector.broadcast(SPECIES, left[l1 + k]), s1);
                s2 = r.fma(FloatVector.broadcast(SPECIES, left[l2 + k]), s2);
                s3 = r.fma(FloatVector.broadcast(SPECIES, left[l3 + k]), s3);
            }
            add(tile, row * columns + column, s0);
            add(tile, (row + 1) * columns + column, s1);
            add(tile, (row + 2) * columns + column, s2);
            add(tile, (row + 3) * columns + column, s3);
        }
        for (int i = 0; i < ROWS; i++) {
            tail(tile, row + i, column, columns, left, leftRow + i, rank, right);
        }
    }

    private static void oneRow(float[] tile, int row, int columns, float[] left, int leftRow, int rank, float[] right) {
        int bound = SPECIES.loopBound(columns);
        int column = 0;
        for (; column < bound; column += SPECIES.length()) {
            FloatVector sum = FloatVector.zero(SPECIES);
            for (int k = 0; k < rank; k++) {
                FloatVector r = FloatVector.fromArray(SPECIES, right, k * columns + column);
                sum = r.fma(FloatVector.broadcast(SPECIES, left[leftRow * rank + k]), sum);
            }
            add(tile, row * columns + column, sum);
        }
        tail(tile, row, column, columns, left, leftRow, rank, right);
    }

    private static void add(float[] tile, int at, FloatVector sum) {
        FloatVector.fromArray(SPECIES, tile, at).add(sum).intoArray(tile, at);
    }

    private static void tail(
            float[] tile, int row, int from, int columns, float[] left, int leftRow, int rank, float[] right) {
        for (int column = from; column < columns; column++) {
            float sum = 0;
            for (int k = 0; k < rank; k++) {
                sum = Math.fma(left[leftRow * rank + k], right[k * columns + column], sum);
            }
            tile[row * columns + column] += sum;
        }
    }
}
