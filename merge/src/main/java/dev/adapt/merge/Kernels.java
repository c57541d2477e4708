package dev.adapt.merge;

import java.lang.foreign.MemorySegment;

/**
 * The arithmetic of a merge, in two interchangeable forms whose results are equal to the bit: each element sums its
 * products in the order of k, in float32 with fused multiply-add, starting from 0, and is then added to the weight and
 * rounded once. Tile sizes, threads and vector width cannot change that order.
 */
public sealed interface Kernels permits ScalarKernels, VectorKernels {
    /** How factors and products lie in memory for weights of this dtype. */
    Panels panels(Floats dtype);

    /**
     * The product of {@link Panels#ROWS} rows and one panel, over {@code depth} values of k.
     *
     * @param left from {@code leftAt} on, [depth, ROWS]
     * @param right from {@code rightAt} on, [depth, panel]
     * @param more whether the sums go on from those of smaller k
     * @param sums from {@code at} on, [ROWS, panel]
     */
    void multiply(float[] left, int leftAt, float[] right, int rightAt, int depth, boolean more, float[] sums, int at);

    /**
     * Adds some panels of a product to a weight.
     *
     * @param sums the product of {@code rows}
     * @param weight [rows, columns], of the dtype, outside of the heap
     * @param out where the sum goes, [rows, columns] of the same dtype; may be {@code weight}
     */
    void add(Floats dtype, Product sums, int rows, int columns, MemorySegment weight, MemorySegment out);

    /** Has their code compiled ahead of the first use; for a thread beside the one that plans what they will do. */
    default void compile() {}

    /** The vector kernels where the JVM was started with the Vector API's module, else the scalar ones. */
    static Kernels best() {
        return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent()
                ? new VectorKernels()
                : new ScalarKernels();
    }
}
