package dev.adapt.formats.algebra;

import java.util.Optional;
import java.util.function.Function;

/**
 * What an adapter makes of one weight W [out, in] and its bias:
 *
 * <pre>{@code W' = outGain ⊙ delta(W ⊙ inGain)}</pre>
 *
 * <p>where delta adds a ΔW or transforms its argument, a gain of the inputs scales columns and a gain of the outputs rows.
 *
 * @param inGain [in]
 * @param bias the changed bias, where the method changes biases
 */
public record WeightChange<T>(Optional<T> inGain, Delta<T> delta, OutGain<T> outGain, Optional<BiasChange<T>> bias) {
    /**
     * The change of a bias [out].
     *
     * @param of the changed bias, of the old one if there is one
     * @param adds whether a layer without a bias gets one
     */
    public record BiasChange<T>(Function<Optional<T>, T> of, boolean adds) {
        /** A bias that is multiplied by a gain, where there is one. */
        public static <T> BiasChange<T> scaled(MatrixOps<T> ops, T gain) {
            return new BiasChange<>(old -> ops.mul(old.orElseThrow(), gain), false);
        }

        /** A bias to which a vector is added. */
        public static <T> BiasChange<T> added(MatrixOps<T> ops, T vector) {
            return new BiasChange<>(old -> old.isPresent() ? ops.add(old.get(), vector) : vector, true);
        }
    }

    /** A change by a delta alone. */
    public static <T> WeightChange<T> of(Delta<T> delta) {
        return new WeightChange<>(Optional.empty(), delta, new OutGain.None<>(), Optional.empty());
    }

    /** The same, with a gain of the outputs. */
    public WeightChange<T> with(OutGain<T> gain) {
        return new WeightChange<>(inGain, delta, gain, bias);
    }

    /** The same, with a change of the bias. */
    public WeightChange<T> with(BiasChange<T> changed) {
        return new WeightChange<>(inGain, delta, outGain, Optional.of(changed));
    }

    /** Its product of low rank, if it adds that and does nothing else to the weight. */
    public Optional<LowRank<T>> lowRank() {
        return isAdditive() && delta instanceof LowRank<T> product ? Optional.of(product) : Optional.empty();
    }

    /** Whether it adds a matrix and does nothing else, so that it can be weighted and summed with others. */
    public boolean isAdditive() {
        return inGain.isEmpty()
                && outGain instanceof OutGain.None
                && bias.isEmpty()
                && !(delta instanceof Delta.Transform);
    }

    /** The changed bias of a layer that has this one, or none. */
    public Optional<T> biasOf(Optional<T> old) {
        return bias.filter(own -> old.isPresent() || own.adds())
                .map(own -> own.of().apply(old))
                .or(() -> old);
    }

    /** How much of W an element of W' depends on. */
    public Delta.Scope scope() {
        Delta.Scope own = switch (delta) {
            case Delta.Transform<T> transform -> transform.scope();
            case Delta.Dense<T> dense -> dense.scope();
            case LowRank<T> _, Delta.None<T> _ -> Delta.Scope.ELEMENT;
        };
        return outGain instanceof OutGain.Magnitude ? own.and(Delta.Scope.ROW) : own;
    }

    /**
     * ΔW in a region, for a change that {@link #isAdditive}.
     *
     * @throws IllegalStateException if it is not
     */
    public T added(MatrixOps<T> ops, Region region) {
        return switch (delta) {
            case LowRank<T> product -> product.block(ops, region);
            case Delta.Dense<T> dense -> dense.block().of(ops, region);
            case Delta.None<T> none -> throw new IllegalStateException(none + " adds nothing");
            case Delta.Transform<T> transform -> throw new IllegalStateException(transform + " is not a sum");
        };
    }

    /**
     * {@code delta(W ⊙ inGain)} in a region: W' before the gain of its outputs.
     *
     * @param weight W in that region
     */
    public T beforeOutGain(MatrixOps<T> ops, T weight, Region region) {
        T scaled = inGain.isPresent()
                ? ops.mul(weight, ops.slice(inGain.get(), 0, region.column(), region.columnEnd()))
                : weight;
        return switch (delta) {
            case Delta.None<T> _ -> scaled;
            case LowRank<T> product -> ops.add(scaled, product.block(ops, region));
            case Delta.Dense<T> dense -> ops.add(scaled, dense.block().of(ops, region));
            case Delta.Transform<T> transform -> transform.changed().of(ops, scaled, region);
        };
    }

    /**
     * W' in a region, which is as large as the {@link #scope} asks.
     *
     * @param weight W in that region
     */
    public T changed(MatrixOps<T> ops, T weight, Region region) {
        T before = beforeOutGain(ops, weight, region);
        return switch (outGain) {
            case OutGain.None<T> _ -> before;
            case OutGain.Vector<T>(T values) ->
                ops.mul(before, ops.reshape(ops.slice(values, 0, region.row(), region.rowEnd()), -1, 1));
            case OutGain.Magnitude<T>(T values) ->
                ops.mul(
                        before,
                        new OutGain.Magnitude<>(ops.slice(values, 0, region.row(), region.rowEnd()))
                                .gains(ops, before));
        };
    }
}
