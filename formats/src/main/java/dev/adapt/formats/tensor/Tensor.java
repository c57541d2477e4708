package dev.adapt.formats.tensor;

/** A tensor wherever its elements lie: in a mapped file, or in memory as floats, doubles or integers. */
public interface Tensor {
    /** Its dimensions. */
    Shape shape();

    /** Its elements as float32, row-major, rounded to nearest even where the element type is wider. */
    float[] toFloats();
}
