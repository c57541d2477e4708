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

    /**
     * The shape that these elements have after they are reshaped.
     *
     * @param to the new dimensions; 0 keeps the dimension at that axis, -1 (once) takes what is left
     */
    public Shape reshaped(long... to) {
        long[] resolved = to.clone();
        long known = 1;
        int open = -1;
        for (int axis = 0; axis < to.length; axis++) {
            if (to[axis] == 0) {
                resolved[axis] = dim(axis);
            }
            if (to[axis] == -1) {
                open = axis;
            } else {
                known *= resolved[axis];
            }
        }
        if (open >= 0) {
            resolved[open] = known == 0 ? 0 : elements() / known;
        }
        return Shape.of(resolved);
    }

    /**
     * The shape to which two broadcast as NumPy does: aligned at the last axis, and a size of 1 repeats.
     *
     * @throws IllegalArgumentException if two sizes differ and none is 1
     */
    public Shape broadcast(Shape other) {
        long[] common = new long[Math.max(rank(), other.rank())];
        for (int i = 1; i <= common.length; i++) {
            long own = i <= rank() ? dim(rank() - i) : 1;
            long others = i <= other.rank() ? other.dim(other.rank() - i) : 1;
            if (own != others && own != 1 && others != 1) {
                throw new IllegalArgumentException(this + " and " + other + " do not broadcast");
            }
            common[common.length - i] = own == 1 ? others : own;
        }
        return Shape.of(common);
    }

    @Override
    public String toString() {
        return dims.toString();
    }
}
