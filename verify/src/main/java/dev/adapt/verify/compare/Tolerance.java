package dev.adapt.verify.compare;

import dev.adapt.verify.runner.Precision;
import java.util.Locale;

/**
 * How far apart two outputs may be that are called equal, by the precision of the coarser form.
 *
 * <p>Two forms in float32 differ in the order of their sums only: their absolute error is limited, where outputs are large
 * by as much more as float32 resolves less there. A form in float16 or bfloat16 rounds each product to 11 or 8 bits, and
 * errs with the size of what it adds up: the error over the row's root mean square is limited, or over 1 where that is less.
 * Integers of 8 bits err in all elements alike: the distance of all rows together over their length is limited, by what the
 * roundings of one product, one after the other in all layers, add up to.
 *
 * @param fp32 of the absolute error
 * @param fp16 of the error over the root mean square of the row, or over 1
 */
public record Tolerance(double fp32, double fp16) {
    /** What two honest forms of a model stay well within. */
    public static final Tolerance DEFAULT = new Tolerance(1e-4, 2e-2);

    /** Outputs from this root mean square on are too large for float32 to hold {@link #fp32} as it stands. */
    private static final double LARGE = 16;

    /** bfloat16 has 8 bits where float16 has 11. */
    private static final double BFLOAT16 = 8;

    /**
     * What one product of 8-bit integers errs by, over the length of its result: weights of a normal distribution reach
     * about 4 deviations, activations 10, and a step of 1/255 of that range errs by 1/√12 of itself.
     */
    private static final double PRODUCT = 0.06;

    /** From here on two rows have little in common. */
    private static final double UNLIKE = 0.5;

    /** The largest error allowed, in the measure of {@link Tally}. */
    double limit(Precision precision, int products) {
        return switch (precision) {
            case FLOAT32 -> fp32;
            case FLOAT16 -> fp16;
            case BFLOAT16 -> BFLOAT16 * fp16;
            case INT8 -> Math.min(UNLIKE, PRODUCT * Math.sqrt(Math.max(1, products)));
        };
    }

    /**
     * The error of a row in the measure of its precision.
     *
     * @param absolute the largest difference
     * @param rms of the row, over both outputs
     * @param distance the root mean square of the differences
     */
    double error(Precision precision, double absolute, double rms, double distance) {
        return switch (precision) {
            case FLOAT32 -> absolute / Math.max(1, rms / LARGE);
            case FLOAT16, BFLOAT16 -> absolute / Math.max(rms, 1);
            case INT8 -> rms == 0 ? 0 : distance / rms;
        };
    }

    /** A limit as a number with what it is measured in. */
    static String words(Comparison.Limit limit) {
        return String.format(
                Locale.ROOT,
                switch (limit.precision()) {
                    case FLOAT32 -> "%.1e";
                    case FLOAT16, BFLOAT16 -> "%.1e of the row's root mean square, or of 1 where that is less (%s)";
                    case INT8 -> "%.1e of the length of all rows (%s)";
                },
                limit.value(),
                limit.precision());
    }

    /** In words: what was exceeded, and why the limit is what it is. */
    String exceeded(Precision precision, double error, double limit) {
        return String.format(
                Locale.ROOT,
                switch (precision) {
                    case FLOAT32 -> "the largest absolute error is %.2e, more than the tolerance %.2e";
                    case FLOAT16 ->
                        "the largest error is %.2e of the row's root mean square (or of 1), more than the tolerance %.2e"
                                + " for float16";
                    case BFLOAT16 ->
                        "the largest error is %.2e of the row's root mean square (or of 1), more than the tolerance %.2e"
                                + " for bfloat16";
                    case INT8 ->
                        "the rows are %.2e of their length apart, more than the tolerance %.2e for int8 and this depth";
                },
                error,
                limit);
    }
}
