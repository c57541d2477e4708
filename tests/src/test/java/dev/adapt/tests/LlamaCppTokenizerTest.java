package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** llama.cpp makes the same tokens of a text as the tokenizer.json that the GGUF file was made of. */
@DisplayName("Tokens of exported GGUF files in llama.cpp")
@EnabledIfEnvironmentVariable(named = LlamaCpp.FOLDER, matches = ".+")
class LlamaCppTokenizerTest {
    private static final JsonMapper JSON = new JsonMapper();

    private static final String SPACE = "\u2581";

    /** Texts that break tokenizers. */
    private static final List<String> HOSTILE = List.of(
            "\uD83D\uDE00 emoji \uD83D\uDC69\u200D\uD83D\uDC69\u200D\uD83D\uDC67 flags \uD83C\uDDE9\uD83C\uDDEA",
            "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u3053\u308c\u306f\u65e5\u672c\u8a9e\u3067\u3059 \ud55c\uad6d\uc5b4",
            "  two  spaces   three",
            "\ttabs\t\tand\nnew\n\nlines\r\n",
            "a\u0001b\u007f control",
            "1234567890 3.14159 12,345",
            "don't I'LL we've",
            "\u00dcn\u00efc\u00f6d\u00e9 caf\u00e9 na\u00efve",
            "<|x|>added{{y}} token",
            "no<|x|> space {{y}}",
            "trailing space ",
            "trailing spaces   ",
            "\u00a0nbsp \u200bzero",
            "x".repeat(300),
            "\u017f \ufb01 \u2167 \u2460",
            "<unk> </s> <s> [CLS]",
            "a  b   c    d",
            "\n\n\n",
            "   ",
            " ",
            "e\u0301 combining",
            "!!!???...",
            "__init__(self):\n    return 'x'",
            "\u00c7a va? \u00c0\u00c9\u00ce",
            "\u0130stanbul \u00df \u1e9e",
            "\u2581 mark \u2581\u2581of\u2581spaces");

    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource(TextVocabulary.class)
    @DisplayName("1,000 strings of the data sets and hostile ones")
    void same(TextVocabulary kind) throws IOException {
        List<String> lines = lines();
        int size = 1500;
        Path base = model(kind, size);
        kind.write(base, size, lines.subList(0, 4000), List.of("<|x|>", "{{y}}"));
        Path gguf = folder.resolve("model.gguf");
        Cli.succeeds("export-gguf", base, "--out", gguf);
        List<String> texts = new ArrayList<>(HOSTILE);
        texts.addAll(lines.subList(4000, 5000 - HOSTILE.size()));
        LlamaCpp client = new LlamaCpp();
        client.tokenize(gguf, texts);
        var found = client.run(folder).getFirst().path("ids");
        List<String> wrong = new ArrayList<>();
        List<String> known = new ArrayList<>();
        try (HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.builder()
                .optTokenizerPath(base.resolve("tokenizer.json"))
                .optAddSpecialTokens(false)
                .optTruncation(false)
                .optPadding(false)
                .build()) {
            for (int i = 0; i < texts.size(); i++) {
                List<Long> expected = Arrays.stream(
                                tokenizer.encode(texts.get(i), false, false).getIds())
                        .boxed()
                        .toList();
                List<Long> ids = LlamaCpp.longs(found.path(i));
                if (!expected.equals(ids)) {
                    Optional<String> cause = cause(kind, texts.get(i));
                    String line = JSON.writeValueAsString(texts.get(i)) + ": expected " + shown(tokenizer, expected)
                            + ", found " + shown(tokenizer, ids);
                    (cause.isPresent() ? known : wrong)
                            .add(line + cause.map(each -> ": " + each).orElse(""));
                }
            }
        }
        int same = texts.size() - known.size() - wrong.size();
        System.out.printf("| %s | %d of %d |%n", kind, same, texts.size());
        known.forEach(each -> System.out.println("    " + each));
        assertEquals(List.of(), wrong);
    }

    /** Why llama.cpp cannot be told by metadata to make the same tokens. */
    private static Optional<String> cause(TextVocabulary kind, String text) {
        return switch (kind) {
            case SENTENCEPIECE ->
                text.contains("{{y}}")
                        ? Optional.of("an added token that is normalized has the space before the text in it")
                        : Optional.empty();
            case UNIGRAM ->
                text.contains(SPACE)
                        ? Optional.of("llama.cpp puts a space before a text and a word that begin with its mark")
                        : text.chars().anyMatch(LlamaCppTokenizerTest::isOtherSpace)
                                ? Optional.of("without a precompiled_charsmap, llama.cpp splits at spaces only")
                                : Optional.empty();
            case UNIGRAM_SPACED ->
                text.contains(SPACE)
                        ? Optional.of("llama.cpp puts a space before a text that begins with its mark")
                        : text.matches("(?s).* |.*(?:<\\|x\\|>|</?s>|<unk>) .*|.* (?:\\{\\{y}}|<\\|x\\|>).*")
                                ? Optional.of("llama.cpp strips spaces at the ends of a text and beside added tokens")
                                : Optional.empty();
            case WORDPIECE ->
                Stream.of(text.split("\\s", -1)).anyMatch(word -> word.length() > 100)
                        ? Optional.of("llama.cpp splits words of more than max_input_chars_per_word too")
                        : Optional.empty();
            default -> Optional.empty();
        };
    }

    private static boolean isOtherSpace(int character) {
        return character != ' ' && (Character.isWhitespace(character) || Character.isSpaceChar(character));
    }

    private static String shown(HuggingFaceTokenizer tokenizer, List<Long> ids) {
        return ids.stream()
                .limit(24)
                .map(id -> tokenizer.decode(new long[] {id}, false) + "=" + id)
                .toList()
                .toString();
    }

    private static List<String> lines() throws IOException {
        List<String> lines = new ArrayList<>();
        Path data = Path.of(Objects.requireNonNull(System.getenv("ADAPT_CASES"), "ADAPT_CASES"), "..", "data");
        try (Stream<Path> files = Files.walk(data)) {
            for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
                try (Stream<String> all = new String(Files.readAllBytes(file), StandardCharsets.UTF_8).lines()) {
                    all.flatMap(line -> Stream.of(line.split("\t", -1)))
                            .filter(text -> text.length() > 12)
                            .limit(3000)
                            .forEach(lines::add);
                }
            }
        }
        Collections.shuffle(lines, new Random(1));
        return lines;
    }

    /** A model of any weights with a table of that size. */
    private Path model(TextVocabulary kind, int size) throws IOException {
        TinyModel tiny = kind == TextVocabulary.WORDPIECE ? TinyModel.BERT : TinyModel.LLAMA;
        return tiny.write(folder.resolve("base"), 3, Map.of("vocab_size", size));
    }
}
