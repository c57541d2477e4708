package dev.adapt.formats.graph;

/**
 * The token sequences that a model of texts takes.
 *
 * @param vocabulary ids are 0 to vocabulary - 1
 * @param longest the most tokens a sequence may have
 * @param types token types are 0 to types - 1
 */
public record Tokens(int vocabulary, int longest, int types) {}
