package dev.adapt.formats.generate;

import java.nio.file.Path;

/** A language model in the middle of a text. */
public interface Decoder extends AutoCloseable {
    /**
     * Adds tokens to the text.
     *
     * @return the logits [vocabulary] of the token that comes next
     */
    float[] append(long[] tokens);

    /** Forgets the text: what is appended next begins one. */
    void restart();

    /** The model's file or folder, for messages. */
    Path source();

    @Override
    void close();
}
