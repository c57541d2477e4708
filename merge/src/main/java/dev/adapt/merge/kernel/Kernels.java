package dev.adapt.merge.kernel;

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

    /**
     * The product of two matrices, row-major in memory.
     *
     * @param left whose rows are {@code leftStep} apart, from {@code leftAt} on
     * @param right in {@link #plain} panels, from {@code rightAt} on, [panels, depth, panel]
     * @param y whose rows are {@code step} apart, from {@code at} on
     */
    void multiply(
            float[] left,
            int leftAt,
            int leftStep,
            int rows,
            float[] right,
            int rightAt,
            int depth,
            float[] y,
            int at,
            int step,
            int columns);

    /**
     * One pass of a Fourier transform of several sequences at once.
     *
     * @param re the real parts, which stay
     * @param im the imaginary parts, which stay
     * @param toRe where the real parts of the result go
     * @param toIm where its imaginary parts go
     */
    void transform(InverseFourier.Pass pass, float[] re, float[] im, float[] toRe, float[] toIm);

    /** Arithmetic of two operands, element by element. */
    enum Operation {
        ADD,
        MULTIPLY,
        DIVIDE;

        public float of(float a, float b) {
            return switch (this) {
                case ADD -> a + b;
                case MULTIPLY -> a * b;
                case DIVIDE -> a / b;
            };
        }
    }

    /** {@code y = a ∘ b} for runs of {@code count} elements. */
    void combine(Operation operation, float[] a, int aAt, float[] b, int bAt, float[] y, int at, int count);

    /** {@code y = a ∘ b} for a run and one number. */
    void combine(Operation operation, float[] a, int aAt, float b, float[] y, int at, int count);

    /** {@code y = x·scale + shift} for a run, rounded twice. */
    void affine(float[] x, int from, float scale, float shift, float[] y, int at, int count);

    /**
     * Widens stored elements.
     *
     * @param stored outside of the heap, not of F64
     */
    void decode(Floats dtype, MemorySegment stored, float[] into, int count);

    /** Whether values are finite once they are rounded to a dtype. */
    boolean areHeld(Floats dtype, float[] values, int count);

    /**
     * Rounds values to a dtype.
     *
     * @param values that {@link #areHeld}
     * @param out outside of the heap, not of F64
     */
    void encode(Floats dtype, float[] values, int count, MemorySegment out);

    /** How the right factor of a product in rows lies in memory. */
    default Panels plain() {
        return panels(Floats.F32);
    }

    /** Has the code of sums of products compiled before its first use; for a thread beside the one that plans the merge. */
    default void compile() {}

    /** Has the code that computes rows in float32 compiled before its first use. */
    default void compileRows(Floats dtype) {}

    /** The vector kernels where the JVM was started with the Vector API's module, else the scalar ones. */
    static Kernels best() {
        return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent()
                ? new VectorKernels()
                : new ScalarKernels();
    }
}
