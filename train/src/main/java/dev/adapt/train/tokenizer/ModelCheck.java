package dev.adapt.train.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import java.nio.file.Path;

/** What the native library does not check about the {@code model} of a tokenizer. */
final class ModelCheck {
    /** The library's default is 100; the time for a word grows with the square of its length. */
    private static final int MOST_WORD_LENGTH = 10_000;

    private ModelCheck() {}

    static void check(Path path, JsonNode model) {
        if (!model.isObject()) {
            throw new FormatException(path, "model", "expected an object, as Hugging Face's tokenizers have");
        }
        JsonNode length = model.path("max_input_chars_per_word");
        if (!length.isMissingNode()
                && !(length.isInt() && length.intValue() >= 0 && length.intValue() <= MOST_WORD_LENGTH)) {
            throw new FormatException(path, "max_input_chars_per_word", "expected 0 to " + MOST_WORD_LENGTH);
        }
        String prefix = model.path("continuing_subword_prefix").asText("");
        if (!prefix.isEmpty() && model.has("merges")) {
            requirePrefix(path, prefix, model.path("merges"));
        }
    }

    /** The library cuts as many bytes as the prefix has characters off the second part of each merge. */
    private static void requirePrefix(Path path, String prefix, JsonNode merges) {
        boolean ascii = prefix.chars().allMatch(c -> c < 0x80);
        for (JsonNode merge : merges) {
            String both = merge.asText("");
            String second = merge.isArray() ? merge.path(1).asText("") : both.substring(both.indexOf(' ') + 1);
            if (!ascii || !second.startsWith(prefix)) {
                throw new FormatException(
                        path,
                        "merges",
                        "expected the second part of each to begin with the continuing_subword_prefix, in ASCII");
            }
        }
    }
}
