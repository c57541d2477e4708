package dev.adapt.verify.diagnosis;

import dev.adapt.verify.Cause;
import dev.adapt.verify.Finding.TensorError;

/**
 * What is wrong with one tensor.
 *
 * @param factor of a change or of all values, where the cause is one; else 1
 * @param detail the rest of a sentence about it: {@code the rows from 64 on differ}; may be empty
 * @param adapted whether the adapter changes this tensor
 */
record TensorVerdict(Cause cause, double factor, String detail, boolean adapted, TensorError error) {
    String name() {
        return error.name();
    }
}
