package dev.adapt.formats.gguf;

import dev.adapt.formats.tensor.Shape;

/**
 * What a GGUF header says of one tensor.
 *
 * @param shape row-major as everywhere here; the file lists the dimensions the other way round
 * @param begin offset of its first byte from the start of the data section
 */
public record GgufTensor(String name, GgmlType type, Shape shape, long begin) {
    /** Its size in bytes, without padding. */
    public long bytes() {
        return type.bytes(shape.elements());
    }
}
