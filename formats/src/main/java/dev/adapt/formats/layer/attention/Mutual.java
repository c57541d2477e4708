package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The tokens of an encoder see each other, in both directions.
 *
 * @param tokens integers [batch, sequence], of which only the shape is read
 * @param mask integers [batch, sequence] of the tokens that are seen; without it all are
 * @param padded whether padding tokens see nothing, which spreads their attention evenly
 */
public record Mutual<T>(Ops<T> ops, T tokens, Optional<T> mask, boolean padded) implements Visibility<T> {
    @Override
    public T positions() {
        return ops.positions(tokens);
    }

    @Override
    public T placesOfKeys() {
        return positions();
    }

    @Override
    public T distances() {
        T places = ops.slice(positions(), 0, 0, 1);
        return ops.add(ops.reshape(places, 0, 1, -1), ops.negate(ops.reshape(places, 0, 0, 1)));
    }

    /** A window reaches as far ahead as back. */
    @Override
    public Optional<T> bias(Optional<Integer> window) {
        Optional<T> kept = mask.map(own -> padded ? ops.mul(ofKeys(own), ofQueries(own)) : ofKeys(own));
        return Stream.of(window.map(this::near), kept)
                .flatMap(Optional::stream)
                .reduce(ops::mul)
                .map(ops::attentionBias);
    }

    private T near(int window) {
        T ahead = ops.add(ofKeys(positions()), ops.negate(ofQueries(positions())));
        T most = ops.integer(window);
        return ops.mul(ops.lessOrEqual(ahead, most), ops.lessOrEqual(ops.negate(ahead), most));
    }

    private T ofKeys(T each) {
        return ops.reshape(each, 0, 1, 1, -1);
    }

    private T ofQueries(T each) {
        return ops.transpose(ops.reshape(each, 0, 0, 1, 1), 0, 2, 1, 3);
    }
}
