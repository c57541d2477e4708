package dev.adapt.train.tokenizer;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import dev.adapt.formats.FormatException;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Text;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The {@code tokenizer.json} of a checkpoint. */
public final class Tokenizer implements AutoCloseable {
    private final Path file;
    private final int vocabulary;
    private final NativeTokenizer tokenizer;

    private Tokenizer(Path file, int vocabulary, NativeTokenizer tokenizer) {
        this.file = file;
        this.vocabulary = vocabulary;
        this.tokenizer = tokenizer;
    }

    /** One that gives all tokens of a text. */
    public static Tokenizer open(Path base, int vocabulary) throws IOException {
        return open(base, vocabulary, Integer.MAX_VALUE);
    }

    /**
     * One that cuts off what is longer than {@code longest} tokens.
     *
     * @param vocabulary how many tokens the model knows
     * @throws NoSuchFileException if the checkpoint has none
     */
    public static Tokenizer open(Path base, int vocabulary, int longest) throws IOException {
        Path file = base.resolve(TokenizerFile.NAME);
        if (!Files.exists(file)) {
            throw new NoSuchFileException(
                    file.toString(),
                    null,
                    "does not exist, and texts need the tokenizer of their model (or token ids: JSONL with input_ids)");
        }
        return new Tokenizer(file, vocabulary, NativeTokenizer.open(file, longest));
    }

    // not the library's batches, in which an error ends the process

    /** Single texts. */
    public List<Sequence> singles(List<String> texts) {
        return texts.parallelStream()
                .map(text -> tokenizer.call(own -> own.encode(text, true, false)))
                .map(this::sequence)
                .toList();
    }

    /** Texts that are read two by two. */
    public List<Sequence> pairs(List<Text.Pair> pairs) {
        return pairs.parallelStream()
                .map(pair -> tokenizer.call(own -> own.encode(pair.first(), pair.second(), true, false)))
                .map(this::sequence)
                .toList();
    }

    private Sequence sequence(Encoding encoding) {
        return new Sequence(known(encoding.getIds()), encoding.getTypeIds(), encoding.exceedMaxLength());
    }

    /** The tokens of a text, with those that begin and end every text or without. */
    public long[] ids(String text, boolean special) {
        return known(tokenizer.call(own -> own.encode(text, special, false)).getIds());
    }

    /**
     * A token and where it stands in its text.
     *
     * @param start of its first character, counted in code points
     */
    public record Token(long id, int start) {}

    /** The tokens of a text that holds its special tokens itself. */
    public List<Token> tokens(String text) {
        Encoding encoding = tokenizer.call(own -> own.encode(text, false, false));
        long[] ids = known(encoding.getIds());
        CharSpan[] spans = encoding.getCharTokenSpans();
        List<Token> tokens = new ArrayList<>();
        for (int i = 0; i < ids.length; i++) {
            int before = tokens.isEmpty() ? 0 : tokens.getLast().start();
            tokens.add(new Token(ids[i], spans[i] == null ? before : spans[i].getStart()));
        }
        return tokens;
    }

    /**
     * A text's tokens, those that begin and end every text included.
     *
     * @param places of each token's last character, counted in code points; -1 for a token that is no part of the text
     */
    @SuppressWarnings("ArrayRecordComponent")
    public record Placed(Sequence sequence, int[] places) {}

    /** The tokens of a text with their places in it. */
    public Placed placed(String text) {
        Encoding encoding = tokenizer.call(own -> own.encode(text, true, false));
        CharSpan[] spans = encoding.getCharTokenSpans();
        int[] places = new int[spans.length];
        for (int i = 0; i < places.length; i++) {
            places[i] = spans[i] == null || spans[i].getEnd() <= spans[i].getStart() ? -1 : spans[i].getEnd() - 1;
        }
        return new Placed(sequence(encoding), places);
    }

    private long[] known(long[] ids) {
        long largest = Arrays.stream(ids).max().orElse(0);
        if (largest >= vocabulary) {
            throw new FormatException(
                    file,
                    "gives the token id " + largest + ", but the model knows only " + vocabulary
                            + " tokens; give it the tokenizer it was trained with");
        }
        return ids;
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
