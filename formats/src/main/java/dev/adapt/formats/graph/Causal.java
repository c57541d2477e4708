package dev.adapt.formats.graph;

import java.util.Map;
import java.util.Optional;

/**
 * What a decoder computes from its inputs: where its tokens are and which others each may see.
 *
 * @param ids integers [batch, sequence]
 * @param mask integers [batch, keys]; with a cache, the keys of earlier tokens come before those of the sequence
 * @param given integers [batch, sequence], the positions where the caller knows them
 * @param cached whether there are more keys than tokens
 */
record Causal<T>(Ops<T> ops, T ids, T mask, Optional<T> given, boolean cached) {
    static <T> Causal<T> of(Layers<T> model, Map<String, T> inputs) {
        return new Causal<>(
                model.ops(),
                Layers.input(inputs, InputSpec.IDS),
                Layers.input(inputs, InputSpec.MASK),
                Optional.ofNullable(inputs.get(InputSpec.POSITIONS.name())),
                model.isCached());
    }

    private T ofSequence(T ofKeys) {
        return cached ? ops.tail(ofKeys, ids) : ofKeys;
    }

    /**
     * Positions [batch, sequence]: those given, else counted from the first token that the mask keeps, and 0 before it: as transformers
     * counts them in {@code generate}, where padding is on the left, and in a forward pass, where it is on the right.
     */
    T positions() {
        return given.orElseGet(this::counted);
    }

    private T counted() {
        T begun = ops.not(ops.equal(ops.cumSum(mask, 1), ops.integer(0)));
        return ofSequence(ops.add(ops.cumSum(begun, 1), ops.negate(begun)));
    }

    /** Positions that count only what the mask keeps, from 0; -1 for what it does not keep. */
    T positionsOfKept() {
        return given.orElseGet(() -> ofSequence(ops.add(ops.mul(ops.cumSum(mask, 1), mask), ops.integer(-1))));
    }

    /** The place of each key among those that the mask keeps, integers [batch, keys]; 0 for the others. */
    T placesOfKeys() {
        return ops.mul(ops.add(ops.cumSum(mask, 1), ops.integer(-1)), mask);
    }

    /** What is added to attention scores, [batch, 1, sequence, keys]: a token sees itself and those before it. */
    T bias() {
        return ops.attentionBias(seen());
    }

    /** The same, and only the last {@code window} of these. */
    T bias(int window) {
        T oldest = ops.add(queries(), ops.integer(1L - window));
        return ops.attentionBias(ops.mul(seen(), ops.lessOrEqual(oldest, keys())));
    }

    private T seen() {
        return ops.mul(ops.lessOrEqual(keys(), queries()), ops.reshape(mask, 0, 1, 1, -1));
    }

    private T keys() {
        return ops.transpose(ops.reshape(ops.positions(mask), 0, 0, 1, 1), 0, 2, 3, 1);
    }

    private T queries() {
        // not a reshape with -1: that would make an axis of unknown size of one that an exported graph knows
        return ops.transpose(ops.reshape(ofSequence(ops.positions(mask)), 0, 0, 1, 1), 0, 2, 1, 3);
    }
}
