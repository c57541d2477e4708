package dev.adapt.formats.graph;

import java.util.function.UnaryOperator;

/**
 * A model's output before its last layer, where that is so wide that it should be computed for some tokens at a time.
 *
 * @param states of the last layer: token states [batch, sequence, hidden] where {@code last} is one of tokens, else the output
 * @param last gives the output of states, or of any [tokens, hidden] of them
 */
public record Unfinished<T>(T states, UnaryOperator<T> last) {
    /** An output that is whole. */
    public static <T> Unfinished<T> whole(T output) {
        return new Unfinished<>(output, UnaryOperator.identity());
    }

    /** All of the output. */
    public T output() {
        return last.apply(states);
    }
}
