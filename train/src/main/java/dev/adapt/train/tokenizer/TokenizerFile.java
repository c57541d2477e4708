package dev.adapt.train.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.JsonDocument;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A {@code tokenizer.json} that is safe to give to the native library, which ends the process on some errors. What it
 * answers by an exception is left to it.
 */
public record TokenizerFile(Path path, String text) {
    /** Name in a checkpoint folder. */
    public static final String NAME = "tokenizer.json";

    /** Gemma's, with a vocabulary of 262,144 tokens, has 33 MB. */
    private static final int MOST_BYTES = 256 << 20;

    private static final int BYTE_ORDER_MARK = 3;

    /**
     * Reads a file.
     *
     * @throws FormatException naming what the library must not be given
     */
    public static TokenizerFile read(Path path) throws IOException {
        try (InputStream in = Files.newInputStream(path)) {
            byte[] bytes = in.readNBytes(MOST_BYTES + 1);
            if (bytes.length > MOST_BYTES) {
                throw new FormatException(path, "is larger than " + (MOST_BYTES >> 20) + " MiB");
            }
            return parse(path, bytes);
        }
    }

    /** Checks what a file holds. */
    public static TokenizerFile parse(Path path, byte[] bytes) {
        int start = bytes.length >= BYTE_ORDER_MARK
                        && (bytes[0] & 0xff) == 0xef
                        && (bytes[1] & 0xff) == 0xbb
                        && (bytes[2] & 0xff) == 0xbf
                ? BYTE_ORDER_MARK
                : 0;
        String text = new String(bytes, start, bytes.length - start, StandardCharsets.UTF_8);
        JsonNode json = JsonDocument.parse(path, start == 0 ? bytes : text.getBytes(StandardCharsets.UTF_8))
                .json();
        new ComponentCheck(path).check(json);
        ModelCheck.check(path, json.path("model"));
        return new TokenizerFile(path, text);
    }
}
