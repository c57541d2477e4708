package dev.adapt.train;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** A checkpoint's {@code tokenizer.json}, from text to tokens and back. */
public final class TextCodec implements AutoCloseable {
    private static final String FILE = "tokenizer.json";

    private final HuggingFaceTokenizer tokenizer;

    private TextCodec(HuggingFaceTokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    /** Whether a folder has a tokenizer. */
    public static boolean isIn(Path folder) {
        return Files.exists(folder.resolve(FILE));
    }

    /**
     * The tokenizer of a folder.
     *
     * @throws NoSuchFileException if it has none
     */
    public static TextCodec open(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        if (!isIn(folder)) {
            throw new NoSuchFileException(
                    file.toString(), null, "does not exist, and text needs it; give --prompt-ids, or --tokenizer");
        }
        return new TextCodec(HuggingFaceTokenizer.builder()
                .optTokenizerPath(file)
                .optTruncation(false)
                .optPadding(false)
                .optAddSpecialTokens(true)
                .build());
    }

    /** The tokens of the beginning of a text, with those that begin every text. */
    public long[] encode(String text) {
        return tokenizer.encode(text).getIds();
    }

    /** The text of tokens, without those that mark its beginning and end. */
    public String decode(long[] tokens) {
        return tokenizer.decode(tokens, true);
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
