package dev.adapt.formats.safetensors;

import dev.adapt.formats.tensor.Shape;

/**
 * What a safetensors header says of one tensor.
 *
 * @param begin offset of its first byte from the start of the data section, which follows the header
 * @param end offset one past its last byte
 */
public record TensorInfo(String name, Dtype dtype, Shape shape, long begin, long end) {
    /** Its size in bytes. */
    public long bytes() {
        return end - begin;
    }
}
