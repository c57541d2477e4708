package dev.adapt.merge;

/**
 * The arithmetic of a merge, in two interchangeable forms whose results are equal to the bit: each element sums its
 * products in the order of k, in float32 with fused multiply-add, starting from 0, and is then added to the weight. Tile
 * sizes, threads and vector width cannot change that order.
 */
sealed interface Kernels permits ScalarKernels, VectorKernels {
    /**
     * Adds {@code left·right} to rows of a weight, in place.
     *
     * @param tile [rows, columns]
     * @param left [.., rank], of which {@code rows} rows are used from {@code firstRow} on
     * @param right [rank, columns]
     */
    void addProduct(float[] tile, int rows, int columns, float[] left, int firstRow, int rank, float[] right);

    /** The vector kernels where the JVM was started with the Vector API's module, else the scalar ones. */
    static Kernels best() {
        return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent()
                ? new VectorKernels()
                : new ScalarKernels();
    }
}
