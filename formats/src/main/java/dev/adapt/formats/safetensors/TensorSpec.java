package dev.adapt.formats.safetensors;

import dev.adapt.formats.tensor.Shape;

/** A tensor to be written, before the writer has given it a place. */
public record TensorSpec(String name, Dtype dtype, Shape shape) {
    /**
     * Its size in bytes.
     *
     * @throws ArithmeticException if the shape overflows or a packed dtype does not fill whole bytes
     */
    public long bytes() {
        long bits = Math.multiplyExact(shape.elements(), dtype.bits());
        if (bits % 8 != 0) {
            throw new ArithmeticException(shape + " of " + dtype + " does not fill whole bytes");
        }
        return bits / 8;
    }
}
