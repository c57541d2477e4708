package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Layers;
import java.util.Map;
import java.util.Optional;

/**
 * The tokens of a decoder see themselves and those before them.
 *
 * @param ids integers [batch, sequence]
 * @param mask integers [batch, keys]; with a cache, the keys of earlier tokens come before those of the sequence
 * @param given integers [batch, sequence], the positions where the caller knows them
 * @param cached whether there are more keys than tokens
 */
public record Causal<T>(Ops<T> ops, T ids, T mask, Optional<T> given, boolean cached) implements Visibility<T> {
    public static <T> Causal<T> of(Layers<T> model, Map<String, T> inputs) {
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
    @Override
    public T positions() {
        return given.orElseGet(this::counted);
    }

    private T counted() {
        T begun = ops.not(ops.equal(ops.cumSum(mask, 1), ops.integer(0)));
        return ofSequence(ops.add(ops.cumSum(begun, 1), ops.negate(begun)));
    }

    /** Positions that count only what the mask keeps, from 0; -1 for what it does not keep. */
    public T positionsOfKept() {
        return given.orElseGet(() -> ofSequence(ops.add(ops.mul(ops.cumSum(mask, 1), mask), ops.integer(-1))));
    }

    @Override
    public T placesOfKeys() {
        return ops.mul(ops.add(ops.cumSum(mask, 1), ops.integer(-1)), mask);
    }

    @Override
    public T distances() {
        T ofKeys = ops.slice(ops.positions(mask), 0, 0, 1);
        return ops.add(ops.reshape(ofKeys, 0, 1, -1), ops.negate(ops.reshape(ofSequence(ofKeys), 0, 0, 1)));
    }

    /** A token sees itself and those before it; with a window the last {@code window} of these. */
    @Override
    public Optional<T> bias(Optional<Integer> window) {
        return Optional.of(ops.attentionBias(window.map(this::seen).orElseGet(this::seen)));
    }

    private T seen(int window) {
        T oldest = ops.add(queries(), ops.integer(1L - window));
        return ops.mul(seen(), ops.lessOrEqual(oldest, keys()));
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
