package dev.adapt.formats.algebra;

/** What the outputs of a changed weight, its rows, are multiplied by. */
public sealed interface OutGain<T> {
    /** Nothing. */
    record None<T>() implements OutGain<T> {}

    /** A factor for each output. */
    record Vector<T>(T values) implements OutGain<T> {}

    /**
     * The norm that each row is given: it is divided by its own norm and multiplied by this (DoRA, Liu et al., arXiv
     * 2402.09353, equation 5).
     *
     * @param values [out]
     */
    record Magnitude<T>(T values) implements OutGain<T> {
        /**
         * {@code magnitude / ‖row‖} [rows, 1]. The norm is a constant to the gradient, as section 4.3 has it.
         *
         * @param rows the weight before this gain, all of its columns
         */
        public T gains(MatrixOps<T> ops, T rows) {
            T frozen = ops.stopGradient(rows);
            return ops.div(ops.reshape(values, -1, 1), ops.sqrt(ops.sum(ops.mul(frozen, frozen), 1)));
        }
    }
}
