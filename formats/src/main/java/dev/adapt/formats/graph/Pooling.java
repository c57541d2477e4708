package dev.adapt.formats.graph;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/** How a sequence of token states becomes the one vector a classification head reads. */
public enum Pooling {
    /** The mean over the tokens that the attention mask keeps. */
    MEAN,
    /** The state of the first token. */
    CLS,
    /** The base's own pooler: a linear layer and tanh over the first token's state. */
    POOLER;

    /** The pooling a user or a file calls {@code name}, in lower case. */
    public static Optional<Pooling> named(String name) {
        return Arrays.stream(values())
                .filter(pooling -> pooling.name().toLowerCase(Locale.ROOT).equals(name))
                .findFirst();
    }
}
