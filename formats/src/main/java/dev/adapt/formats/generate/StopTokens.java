package dev.adapt.formats.generate;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.io.JsonDocument;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** The tokens that end a model's text: {@code eos_token_id} of its files. */
public final class StopTokens {
    private static final String FIELD = "eos_token_id";

    private StopTokens() {}

    /**
     * The tokens that {@code generation_config.json} or {@code config.json} name. Chat models often name only in the first what
     * ends a message; a base that was trained further ends with the token of the second.
     *
     * @param folder that may hold the two
     * @throws dev.adapt.formats.FormatException if a token is neither an integer nor a list of integers
     */
    public static Set<Long> of(Path folder) throws IOException {
        Set<Long> tokens = new LinkedHashSet<>();
        for (String name : List.of("generation_config.json", "config.json")) {
            Path file = folder.resolve(name);
            if (Files.exists(file)) {
                JsonDocument document = JsonDocument.read(file);
                add(document, tokens);
                if (document.json().path("text_config").isObject()) {
                    add(document.object("text_config"), tokens);
                }
            }
        }
        return tokens;
    }

    private static void add(JsonDocument document, Set<Long> tokens) {
        if (!document.has(FIELD)) {
            return;
        }
        JsonNode ids = document.json().path(FIELD);
        for (JsonNode id : ids.isArray() ? ids : List.of(ids)) {
            if (!id.isIntegralNumber() || !id.canConvertToInt()) {
                throw document.wrong(FIELD, "a token id, or a list of token ids");
            }
            tokens.add(id.longValue());
        }
    }
}
