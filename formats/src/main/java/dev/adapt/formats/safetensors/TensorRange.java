package dev.adapt.formats.safetensors;

/**
 * Neighbouring elements of a tensor.
 *
 * @param from the first of them
 */
public record TensorRange(String tensor, long from, long elements) {
    /** Whether the elements from {@code first} to {@code last} of the same tensor are all among them. */
    public boolean contains(long first, long last) {
        return first >= from && last < from + elements;
    }
}
