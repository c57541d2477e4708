package dev.adapt.formats.tensor;

/** A tensor wherever its elements lie: in a mapped file, or in memory as floats, doubles or integers. */
public interface Tensor {
    /** Its dimensions. */
    Shape shape();

    /** Its elements as float32, row-major, rounded to nearest even where the element type is wider. */
    float[] toFloats();

    /**
     * Reads some of its elements, each as {@link #toFloats} gives it or, where it is wider, as it is.
     *
     * @param from the first of them
     * @param into gets {@code count} values, from {@code at} on
     */
    void read(long from, double[] into, int at, int count);
}
