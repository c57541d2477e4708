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
     * The product of some rows and panels, over some values of k.
     *
     * @param left as {@link Factors#left} packs it, of rows of which it takes {@code rows} from {@code row} on
     * @param row begins a block
     * @param k the first of {@code depth} values; if it is not 0, the sums go on from those of smaller k
     * @param sums the panels to compute
     */
    void multiply(Factors factors, float[] left, int row, int rows, int k, int depth, Product sums);

    /**
     * Adds some panels of a product to a weight.
     *
     * @param sums the product of {@code rows}
     * @param weight [rows, columns], of the dtype, outside of the heap
     * @param out where the sum goes, [rows, columns] of the same dtype; may be {@code weight}
     * @param found counts the elements of {@code out} that are NaN or infinite
     */
    void add(
            Floats dtype,
            Product sums,
            int rows,
            int columns,
            MemorySegment weight,
            MemorySegment out,
            NonFinite found);

    /** Has their code compiled ahead of the first use; for a thread beside the one that plans what they will do. */
    default void compile() {}

    /** The vector kernels where the JVM was started with the Vector API's module, else the scalar ones. */
    static Kernels best() {
        return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent()
                ? new VectorKernels()
                : new ScalarKernels();
    }
}
