package dev.adapt.verify;

import java.util.Optional;

/**
 * How far two outputs a and b are apart, over all inputs.
 *
 * @param maxAbsolute the largest |a − b|
 * @param meanAbsolute the mean |a − b|
 * @param maxRelative the largest |a − b| / rms, where rms is the root mean square of the row (the last axis) that the
 *     element lies in, over both outputs; unlike |a − b| / |a| this does not explode where a single logit is near 0
 * @param meanRelative the mean of the same
 * @param argmaxAgreement the share of rows whose largest element is at the same place, 0 to 1
 * @param likeness of whole rows
 */
public record Errors(
        double maxAbsolute,
        double meanAbsolute,
        double maxRelative,
        double meanRelative,
        double argmaxAgreement,
        Likeness likeness) {
    /**
     * How alike rows are.
     *
     * @param cosine the least cosine of two rows, −1 to 1; 1 where one is zero
     * @param divergence the largest Kullback-Leibler divergence of the distributions that two rows of logits stand for, in
     *     nats; only of logits
     * @param top the share of the 5 largest elements of a row that are among the 5 largest of the other, over all rows, 0
     *     to 1; only of logits
     * @param parting the first row of logits whose largest elements are at different places: there greedy texts part
     */
    public record Likeness(double cosine, Optional<Double> divergence, Optional<Double> top, Optional<Place> parting) {}
}
