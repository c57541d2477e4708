package dev.adapt.verify;

/**
 * How far two outputs a and b are apart, over all inputs.
 *
 * @param maxAbsolute the largest |a − b|
 * @param meanAbsolute the mean |a − b|
 * @param maxRelative the largest |a − b| / rms, where rms is the root mean square of the row (the last axis) that the
 *     element lies in, over both outputs; unlike |a − b| / |a| this does not explode where a single logit is near 0
 * @param meanRelative the mean of the same
 * @param argmaxAgreement the share of rows whose largest element is at the same place, 0 to 1
 */
public record Errors(
        double maxAbsolute, double meanAbsolute, double maxRelative, double meanRelative, double argmaxAgreement) {}
