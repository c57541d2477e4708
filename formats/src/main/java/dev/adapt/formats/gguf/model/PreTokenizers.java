package dev.adapt.formats.gguf.model;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.util.ArrayList;
import java.util.List;

/**
 * llama.cpp's names of pre-tokenizers, told by the patterns that a tokenizer.json splits by: {@code pre_tokenizers.json}. The
 * names stand for patterns compiled into llama.cpp, which a file cannot bring.
 */
final class PreTokenizers {
    private static final String FILE = "pre_tokenizers.json";

    private PreTokenizers() {}

    /**
     * The name for a tokenizer.json of byte-level BPE.
     *
     * @throws FormatException if llama.cpp has none that splits like it
     */
    static String name(JsonDocument tokenizer) {
        List<String> splits = new ArrayList<>();
        collect(tokenizer.json().path("pre_tokenizer"), splits);
        boolean ignores = tokenizer.json().path("model").path("ignore_merges").asBoolean(false);
        String found = "";
        for (JsonNode entry : table()) {
            List<String> own = new ArrayList<>();
            entry.path("splits").forEach(split -> own.add(split.textValue()));
            if (own.equals(splits)) {
                if (entry.path("ignore_merges").asBoolean() == ignores) {
                    return entry.path("name").textValue();
                }
                found = entry.path("name").textValue();
            }
        }
        throw new FormatException(
                tokenizer.path(),
                "pre_tokenizer",
                found.isEmpty()
                        ? "splits by " + splits
                                + ", which llama.cpp has no known pre-tokenizer for; give the name of one that splits"
                                + " alike with --pre-tokenizer"
                        : "splits like llama.cpp's " + found + ", but ignore_merges is " + ignores
                                + ": give --pre-tokenizer if the difference does not matter");
    }

    private static void collect(JsonNode node, List<String> splits) {
        switch (node.path("type").asText("")) {
            case "Sequence" -> node.path("pretokenizers").forEach(inner -> collect(inner, splits));
            case "Split" ->
                splits.add(node.path("pattern")
                        .path("Regex")
                        .asText(node.path("pattern").toString()));
            case "Digits" -> splits.add(node.path("individual_digits").asBoolean() ? "digits" : "numbers");
            case "ByteLevel" -> {
                if (node.path("add_prefix_space").asBoolean()) {
                    splits.add("space before");
                }
                if (node.path("use_regex").asBoolean(true)) {
                    splits.add("words");
                }
            }
            case "" -> {}
            default -> splits.add(node.path("type").asText());
        }
    }

    private static JsonNode table() {
        return JsonDocument.resource(PreTokenizers.class, FILE).json().path("pre_tokenizers");
    }
}
