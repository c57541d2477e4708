package dev.adapt.verify.compare;

import java.util.Optional;

/**
 * What comparing one output of two runners gave.
 *
 * @param output the output's name, or the name of the group that it was compared in
 * @param errors where the outputs have the same shapes and finite values
 * @param worst where the error is largest, if there is one
 * @param failure why the two are not equal, if they are not
 */
public record Comparison(
        String left,
        String right,
        String output,
        Optional<Errors> errors,
        Optional<Place> worst,
        Optional<String> failure) {
    /** Whether the two are equal within the tolerance. */
    public boolean passed() {
        return failure.isEmpty();
    }
}
