package dev.adapt.train.data;

/**
 * One labelled text.
 *
 * @param label a class, a number, or a response
 * @param line where it stands in its file, from 1
 */
public record Example(Text text, String label, int line) {
    /** A single text. */
    Example(String text, String label, int line) {
        this(new Text.Single(text), label, line);
    }
}
