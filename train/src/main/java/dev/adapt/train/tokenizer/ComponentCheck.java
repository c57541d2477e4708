package dev.adapt.train.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/**
 * What the native library does not check about normalizers, pre-tokenizers, post-processors and decoders: patterns that
 * may not end, and numbers that make it end the process or fill the memory.
 */
final class ComponentCheck {
    private static final int MOST_PATTERNS = 50;
    private static final int MOST_SHOWN = 100;
    private static final int MOST_TEXT = 1000;
    private static final int MOST_PIECES = 1000;

    /** How much longer all replacements together may make a text; SentencePiece's take a character for a character. */
    private static final double MOST_GROWTH = 1000;

    private final Path path;
    private final Set<String> patterns = new HashSet<>();
    private double growth = 1;

    ComponentCheck(Path path) {
        this.path = path;
    }

    /** Checks a whole tokenizer. */
    void check(JsonNode tokenizer) {
        for (String field : new String[] {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
            growth = 1;
            component(field, tokenizer.path(field));
        }
    }

    private void component(String field, JsonNode node) {
        if (node.isObject()) {
            // a component is known by its fields also where its type is left out
            pattern(field, node.path("Regex"));
            replacement(field, node);
            charsmap(field, node.path("precompiled_charsmap"));
            requireWhole(node, field, "length", 1, Integer.MAX_VALUE);
            requireWhole(node, field, "start", 0, MOST_TEXT);
            requireWhole(node, field, "stop", 0, 0);
        }
        if (node.isArray() && node.size() > MOST_PIECES && node.path(0).isObject()) {
            throw new FormatException(path, field, "has more than " + MOST_PIECES + " parts");
        }
        node.forEach(inner -> component(field, inner));
    }

    private void pattern(String field, JsonNode pattern) {
        if (!pattern.isTextual() || !patterns.add(pattern.textValue())) {
            return;
        }
        if (patterns.size() > MOST_PATTERNS) {
            throw new FormatException(path, field, "has more than " + MOST_PATTERNS + " patterns");
        }
        String text = pattern.textValue();
        Backtracking.fault(text).ifPresent(reason -> {
            String shown = text.length() <= MOST_SHOWN ? text : text.substring(0, MOST_SHOWN) + "…";
            throw new FormatException(
                    path,
                    field,
                    "the pattern \"" + shown + "\" " + reason
                            + "; the native tokenizer would end the process, so it is refused");
        });
    }

    /** A text in the place of a match, or before all: as many characters more, for each. */
    private void replacement(String field, JsonNode node) {
        for (String name : new String[] {"content", "prepend", "replacement", "prefix", "suffix"}) {
            if (node.path(name).isTextual() && node.path(name).textValue().length() > MOST_TEXT) {
                throw new FormatException(path, field, name + ": expected at most " + MOST_TEXT + " characters");
            }
        }
        if (node.path("pattern").isObject() && node.path("content").isTextual()) {
            String string = node.path("pattern").path("String").asText("");
            growth *= Math.max(1, (double) node.path("content").textValue().length() / Math.max(1, string.length()));
            // an empty pattern matches between any two characters
            growth *= string.isEmpty() && node.path("pattern").has("String") ? 2 : 1;
        }
        if (growth > MOST_GROWTH) {
            throw new FormatException(path, field, "replaces text by text more than " + MOST_GROWTH + " times as long");
        }
    }

    private void charsmap(String field, JsonNode map) {
        if (map.isTextual() && !Charsmap.isSound(map.textValue())) {
            throw new FormatException(path, field, "has a precompiled_charsmap that leads out of its own table");
        }
    }

    private void requireWhole(JsonNode node, String field, String name, int least, int most) {
        JsonNode number = node.path(name);
        if (number.isNumber()
                && !(number.isIntegralNumber()
                        && number.canConvertToInt()
                        && number.intValue() >= least
                        && number.intValue() <= most)) {
            throw new FormatException(
                    path,
                    field,
                    name + ": expected " + (least == most ? "" + least : least + " to " + most)
                            + ", found a number beyond");
        }
    }
}
