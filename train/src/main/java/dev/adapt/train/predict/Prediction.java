package dev.adapt.train.predict;

import java.util.List;
import java.util.SequencedMap;

/** What a model makes of a text. */
public sealed interface Prediction {
    /**
     * A class, or for a model whose classes do not exclude each other, several or none.
     *
     * @param labels the class that is most likely; where classes do not exclude each other, those of a probability of at least
     *     one half
     * @param scores the probability of each label
     */
    record Classes(List<String> labels, SequencedMap<String, Double> scores) implements Prediction {}

    /** A number. */
    record Value(double value) implements Prediction {}

    /**
     * What is said of words.
     *
     * @param words with their labels
     * @param entities of these words
     */
    record Words(List<Word> words, List<Found> entities) implements Prediction {}

    /**
     * A word of the text.
     *
     * @param start of its first character, counted in UTF-16 units as Java's strings are
     * @param end after its last
     * @param score the probability of its label
     */
    record Word(int start, int end, String label, double score) {}

    /**
     * An entity in the text.
     *
     * @param score the mean of its words' scores
     */
    record Found(String text, String label, int start, int end, double score) {}

    /** A vector that stands for the text. */
    @SuppressWarnings("ArrayRecordComponent")
    record Embedding(double[] values) implements Prediction {}
}
