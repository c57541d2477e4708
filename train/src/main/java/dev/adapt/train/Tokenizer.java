package dev.adapt.train;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import ai.djl.util.PairList;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/** The {@code tokenizer.json} of a checkpoint. */
final class Tokenizer implements AutoCloseable {
    private static final String FILE = "tokenizer.json";

    private final Path file;
    private final int vocabulary;
    private final HuggingFaceTokenizer tokenizer;

    private Tokenizer(Path file, int vocabulary, HuggingFaceTokenizer tokenizer) {
        this.file = file;
        this.vocabulary = vocabulary;
        this.tokenizer = tokenizer;
    }

    /** One that gives all tokens of a text. */
    static Tokenizer open(Path base, int vocabulary) throws IOException {
        return open(base, vocabulary, Integer.MAX_VALUE);
    }

    /**
     * One that cuts off what is longer than {@code longest} tokens.
     *
     * @param vocabulary how many tokens the model knows
     * @throws NoSuchFileException if the checkpoint has none
     */
    static Tokenizer open(Path base, int vocabulary, int longest) throws IOException {
        Path file = base.resolve(FILE);
        if (!Files.exists(file)) {
            throw new NoSuchFileException(
                    file.toString(),
                    null,
                    "does not exist, and texts need the tokenizer of their model (or token ids: JSONL with input_ids)");
        }
        InputFile.found(file).requireAtMost(Limit.TOKENIZER);
        HuggingFaceTokenizer.Builder builder = HuggingFaceTokenizer.builder()
                .optTokenizerPath(file)
                .optPadding(false)
                .optAddSpecialTokens(true);
        builder = longest == Integer.MAX_VALUE
                ? builder.optTruncation(false)
                : builder.optTruncation(true).optMaxLength(longest);
        return new Tokenizer(file, vocabulary, builder.build());
    }

    /** Single texts. */
    List<Sequence> singles(List<String> texts) {
        return sequences(tokenizer.batchEncode(texts));
    }

    /** Texts that are read two by two. */
    List<Sequence> pairs(List<Text.Pair> pairs) {
        PairList<String, String> list = new PairList<>();
        pairs.forEach(pair -> list.add(pair.first(), pair.second()));
        return sequences(tokenizer.batchEncode(list));
    }

    private List<Sequence> sequences(Encoding[] encodings) {
        return Stream.of(encodings)
                .map(own -> new Sequence(known(own.getIds()), own.getTypeIds()))
                .toList();
    }

    /** The tokens of a text, with those that begin and end every text or without. */
    long[] ids(String text, boolean special) {
        return known(tokenizer.encode(text, special, false).getIds());
    }

    /**
     * A token and where it stands in its text.
     *
     * @param start of its first character, counted in code points
     */
    record Token(long id, int start) {}

    /** The tokens of a text that holds its special tokens itself. */
    List<Token> tokens(String text) {
        Encoding encoding = tokenizer.encode(text, false, false);
        long[] ids = known(encoding.getIds());
        CharSpan[] spans = encoding.getCharTokenSpans();
        List<Token> tokens = new ArrayList<>();
        for (int i = 0; i < ids.length; i++) {
            int before = tokens.isEmpty() ? 0 : tokens.getLast().start();
            tokens.add(new Token(ids[i], spans[i] == null ? before : spans[i].getStart()));
        }
        return tokens;
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
