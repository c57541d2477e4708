package dev.adapt.formats.graph;

import dev.adapt.formats.algebra.Ops;
import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/** What a classification head reads of a sequence of token states: one vector, but for {@link #TOKENS}. */
public enum Pooling {
    /** The mean over the tokens that the attention mask keeps. */
    MEAN,
    /** The state of the first token. */
    CLS,
    /** The base's own pooler: a linear layer and tanh over the first token's state. */
    POOLER,
    /** The state of the last token that the attention mask keeps. */
    LAST,
    /** In each dimension the largest of the states that the attention mask keeps. */
    MAX,
    /** Each state: the head classifies tokens, not sequences. */
    TOKENS;

    /** Added to states that the mask leaves out, as sentence-transformers does: far below any state. */
    private static final double FAR_BELOW = 1e9;

    /** The pooling a user or a file calls {@code name}, in lower case. */
    public static Optional<Pooling> named(String name) {
        return Arrays.stream(values())
                .filter(pooling -> pooling.name().toLowerCase(Locale.ROOT).equals(name))
                .findFirst();
    }

    /**
     * The vector, [batch, hidden]; for {@link #POOLER} what the pooler reads, for {@link #TOKENS} the states themselves.
     *
     * @param states [batch, sequence, hidden]
     * @param mask integers [batch, sequence]
     */
    public <T> T pool(Ops<T> ops, T states, T mask) {
        return switch (this) {
            case MEAN -> {
                T kept = ops.toFloat(mask);
                yield ops.div(sum(ops, states, kept), ops.sum(kept, 1));
            }
            case CLS, POOLER -> first(ops, states);
            case TOKENS -> states;
            case LAST -> {
                T reached = ops.equal(ops.cumSum(mask, 1), ops.sum(mask, 1));
                yield sum(ops, states, ops.toFloat(ops.mul(reached, mask)));
            }
            case MAX -> {
                T without = ops.affine(ops.toFloat(mask), FAR_BELOW, -FAR_BELOW);
                T kept = ops.add(states, ops.reshape(without, 0, -1, 1));
                yield ops.reshape(ops.maximum(kept, 1), 0, -1);
            }
        };
    }

    /** The first state of each sequence. */
    public static <T> T first(Ops<T> ops, T states) {
        return ops.reshape(ops.slice(states, 1, 0, 1), 0, -1);
    }

    /** The weighted sum [batch, hidden] of states, by weights [batch, sequence]. */
    public static <T> T sum(Ops<T> ops, T states, T weights) {
        T weighted = ops.mul(states, ops.reshape(weights, 0, -1, 1));
        // the summed axis has size 1: [batch, 1, hidden] to [batch, hidden]
        return ops.reshape(ops.sum(weighted, 1), 0, -1);
    }
}
