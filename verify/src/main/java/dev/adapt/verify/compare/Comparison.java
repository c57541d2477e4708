package dev.adapt.verify.compare;

import dev.adapt.verify.runner.Precision;
import java.util.Optional;

/**
 * What comparing one output of two runners gave.
 *
 * @param output the output's name, or the name of the group that it was compared in
 * @param limit what the error was held against, where the outputs have the same shapes and finite values
 * @param errors where the outputs have the same shapes and finite values
 * @param worst where the error is largest, if there is one
 * @param failure why the two are not equal, if they are not
 */
public record Comparison(
        String left,
        String right,
        String output,
        Optional<Limit> limit,
        Optional<Errors> errors,
        Optional<Place> worst,
        Optional<String> failure) {
    /**
     * The largest error allowed.
     *
     * @param precision that of the coarser form, which decides how errors are measured
     * @param value in that measure
     */
    public record Limit(Precision precision, double value) {}

    /** Whether the two are equal within the tolerance. */
    public boolean passed() {
        return failure.isEmpty();
    }
}
