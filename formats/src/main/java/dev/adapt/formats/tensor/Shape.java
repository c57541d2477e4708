package dev.adapt.formats.tensor;

import java.util.List;

/** The dimensions of a tensor, outermost first; a scalar has none. Prints as {@code [64, 32]}. */
public record Shape(List<Long> dims) {
    public Shape {
        dims = List.copyOf(dims);
        for (long dim : dims) {
            if (dim < 0) {
                throw new IllegalArgumentException("negative dimension in " + dims);
            }
        }
    }

    /** The shape with these dimensions. */
    public static Shape of(long... dims) {
        Long[] boxed = new Long[dims.length];
        for (int i = 0; i < dims.length; i++) {
            boxed[i] = dims[i];
        }
        return new Shape(List.of(boxed));
    }

    /** The number of dimensions. */
    public int rank() {
        return dims.size();
    }

    /** Dimension {@code axis}, counted from 0. */
    public long dim(int axis) {
        return dims.get(axis);
    }

    /**
     * The number of elements.
     *
     * @throws ArithmeticException if it does not fit a long
     */
    public long elements() {
        // a zero anywhere makes the product zero, but an overflow before it would hide that
        if (dims.contains(0L)) {
            return 0;
        }
        long product = 1;
        for (long dim : dims) {
            product = Math.multiplyExact(product, dim);
        }
        return product;
    }

    /** The dimensions as a fresh array. */
    public long[] toArray() {
        return dims.stream().mapToLong(Long::longValue).toArray();
    }

    /** The same with another size of one dimension. */
    public Shape with(int axis, long size) {
        long[] changed = toArray();
        changed[axis] = size;
        return Shape.of(changed);
    }

    @Override
    public String toString() {
        return dims.toString();
    }
}
