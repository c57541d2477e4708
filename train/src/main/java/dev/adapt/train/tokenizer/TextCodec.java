package dev.adapt.train.tokenizer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** A checkpoint's {@code tokenizer.json}, from text to tokens and back. */
public final class TextCodec implements AutoCloseable {
    private final NativeTokenizer tokenizer;

    private TextCodec(NativeTokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    /** Whether a folder has a tokenizer. */
    static boolean isIn(Path folder) {
        return Files.exists(folder.resolve(TokenizerFile.NAME));
    }

    /**
     * The tokenizer of a folder.
     *
     * @throws NoSuchFileException if it has none
     */
    public static TextCodec open(Path folder) throws IOException {
        Path file = folder.resolve(TokenizerFile.NAME);
        if (!isIn(folder)) {
            throw new NoSuchFileException(
                    file.toString(), null, "does not exist, and text needs it; give --prompt-ids, or --tokenizer");
        }
        return new TextCodec(NativeTokenizer.open(file, Integer.MAX_VALUE));
    }

    /** The tokens of the beginning of a text, with those that begin every text. */
    public long[] encode(String text) {
        return tokenizer.call(own -> own.encode(text)).getIds();
    }

    /** The tokens of a prompt. */
    public long[] encode(PromptText prompt) {
        return tokenizer
                .call(own -> own.encode(prompt.text(), prompt.special(), false))
                .getIds();
    }

    /** The tokens of a text that names its special tokens itself. */
    public long[] encodeSpecial(String text) {
        return tokenizer.call(own -> own.encode(text, false, false)).getIds();
    }

    /** The text of tokens, without those that mark its beginning and end. */
    public String decode(long[] tokens) {
        return tokenizer.call(own -> own.decode(tokens, true));
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
