package dev.adapt.verify.compare;

import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Optional;

/**
 * The rows (the last axis) of an output, and the tokens that they belong to.
 *
 * @param mask integers [batch, sequence], present only where each row belongs to a token
 * @param axis of the sequence, 1 in [batch, sequence, …] and 2 in [batch, heads, sequence, …]
 */
record Rows(Shape shape, Optional<LongTensor> mask, int axis) {
    static Rows of(Shape shape, Optional<LongTensor> mask) {
        if (mask.isPresent() && shape.rank() >= 3) {
            Shape tokens = mask.get().shape();
            for (int axis = 1; axis < Math.min(3, shape.rank() - 1); axis++) {
                if (shape.dim(0) == tokens.dim(0) && shape.dim(axis) == tokens.dim(1)) {
                    return new Rows(shape, mask, axis);
                }
            }
        }
        return new Rows(shape, Optional.empty(), 0);
    }

    int width() {
        return shape.rank() == 0 ? 1 : (int) shape.dim(shape.rank() - 1);
    }

    int count() {
        return width() == 0 ? 0 : (int) (shape.elements() / width());
    }

    /** Whether a row belongs to a token that the mask keeps, or to none. */
    boolean isKept(int row) {
        if (mask.isEmpty()) {
            return true;
        }
        long rest = row;
        for (int after = shape.rank() - 2; after > axis; after--) {
            rest /= shape.dim(after);
        }
        long position = rest % shape.dim(axis);
        for (int before = axis; before > 0; before--) {
            rest /= shape.dim(before);
        }
        return mask.get().values()[(int) (rest * shape.dim(axis) + position)] != 0;
    }
}
