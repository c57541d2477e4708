package dev.adapt.train.tokenizer;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import dev.adapt.formats.FormatException;
import dev.adapt.train.data.Shown;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;

/** Hugging Face's tokenizer, of a file that was checked; what it throws names the file. */
final class NativeTokenizer implements AutoCloseable {
    private final Path file;
    private final HuggingFaceTokenizer tokenizer;

    private NativeTokenizer(Path file, HuggingFaceTokenizer tokenizer) {
        this.file = file;
        this.tokenizer = tokenizer;
    }

    /**
     * Loads a tokenizer that adds special tokens, does not pad, and cuts off what is longer than {@code longest} tokens.
     *
     * @throws FormatException if the file is no tokenizer, or one that the library must not be given
     */
    static NativeTokenizer open(Path file, int longest) throws IOException {
        TokenizerFile checked = TokenizerFile.read(file);
        Map<String, String> options = new HashMap<>(Map.of("addSpecialTokens", "true", "padding", "false"));
        options.put("truncation", Boolean.toString(longest < Integer.MAX_VALUE));
        if (longest < Integer.MAX_VALUE) {
            options.put("maxLength", Integer.toString(longest));
        }
        // the bytes that were checked, not the file again, which may have changed
        try (ByteArrayInputStream in = new ByteArrayInputStream(checked.text().getBytes(StandardCharsets.UTF_8))) {
            return new NativeTokenizer(file, HuggingFaceTokenizer.newInstance(in, options));
        } catch (RuntimeException e) {
            throw new FormatException(file, "is no tokenizer: " + Shown.of(String.valueOf(e.getMessage())), e);
        }
    }

    /**
     * Asks the library.
     *
     * @throws FormatException if it throws
     */
    <T> T call(Function<HuggingFaceTokenizer, T> question) {
        try {
            return question.apply(tokenizer);
        } catch (RuntimeException e) {
            throw new FormatException(file, "does not take this text: " + Shown.of(String.valueOf(e.getMessage())), e);
        }
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
