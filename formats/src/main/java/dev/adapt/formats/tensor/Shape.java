package dev.adapt.formats.tensor;

import java.util.List;
import java.util.stream.LongStream;

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
        return new Shape(LongStream.of(dims).boxed().toList());
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
        return dims.stream().mapToLong(Long::longValue).reduce(1, Math::multiplyExact);
    }

    /** The dimensions as a fresh array. */
    public long[] toArray() {
        return dims.stream().mapToLong(Long::longValue).toArray();
    }

    @Override
    public String toString() {
        return dims.toString();
    }
}
