package dev.adapt.formats.layer.attention;

import java.util.Optional;

/** Where the tokens of a sequence are, and which others each of them sees. */
public sealed interface Visibility<T> permits Causal, Mutual {
    /** The place of each token in its text, integers [batch or 1, sequence]. */
    T positions();

    /** The place of each key among those that the mask keeps, integers [batch, keys]; 0 for the others. */
    T placesOfKeys();

    /** How far each key is behind each query, negative where it comes before; integers [1, sequence, keys]. */
    T distances();

    /**
     * What is added to attention scores, broadcast to [batch, 1, sequence, keys]; empty where every token sees all.
     *
     * @param window how far a token sees
     */
    Optional<T> bias(Optional<Integer> window);
}
