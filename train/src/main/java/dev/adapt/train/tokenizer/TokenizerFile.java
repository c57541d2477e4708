package dev.adapt.train.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * A {@code tokenizer.json} that is safe to give to the native library, which ends the process on some errors. What it
 * answers by an exception is left to it.
 */
record TokenizerFile(Path path, String text) {
    /** Name in a checkpoint folder. */
    static final String NAME = "tokenizer.json";

    /**
     * Reads a file.
     *
     * @throws dev.adapt.formats.FormatException naming what the library must not be given
     */
    static TokenizerFile read(Path path) throws IOException {
        return parse(path, InputFile.found(path).bytes(Limit.TOKENIZER));
    }

    /** Checks what a file holds. */
    static TokenizerFile parse(Path path, byte[] bytes) {
        byte[] plain = JsonDocument.withoutMark(bytes);
        JsonNode json = JsonDocument.parse(path, plain).json();
        new ComponentCheck(path).check(json);
        ModelCheck.check(path, json.path("model"));
        return new TokenizerFile(path, new String(plain, StandardCharsets.UTF_8));
    }
}
