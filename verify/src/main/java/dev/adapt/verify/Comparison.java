package dev.adapt.verify;

import java.util.Optional;

/**
 * What comparing two runners gave.
 *
 * @param errors where the outputs have the same shapes and finite values
 * @param failure why the two are not equal, if they are not
 */
public record Comparison(String left, String right, Optional<Errors> errors, Optional<String> failure) {
    /** Whether the two are equal within the tolerance. */
    public boolean passed() {
        return failure.isEmpty();
    }
}
