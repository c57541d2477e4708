package dev.adapt.verify;

/**
 * How far apart two outputs may be that are called equal. Two forms in float32 differ in the order of their sums only; a
 * form in float16 rounds each product to 11 bits, and errs with the size of what it adds up.
 *
 * @param fp32 on the absolute error, where both compute in float32 or wider
 * @param fp16 where one computes in float16: on the error over the root mean square of the row of outputs, or over 1 where
 *     that is less
 */
public record Tolerance(double fp32, double fp16) {
    /** What two honest forms of a model stay well within. */
    public static final Tolerance DEFAULT = new Tolerance(1e-4, 2e-2);
}
