package dev.adapt.train;

/**
 * One labelled text.
 *
 * @param line where it stands in its file, from 1
 */
public record Example(String text, String label, int line) {}
