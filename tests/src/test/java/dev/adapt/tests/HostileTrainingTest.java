package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The commands on hostile files, as a table: what is replaced, exit code, sentence. */
@DisplayName("Training on a hostile file ends in one sentence and the right exit code")
class HostileTrainingTest {
    private static final String DATA = "good\tmovie\ngood\ta movie\nbad\tbook\nbad\tthe book\n";

    @TempDir
    private Path folder;

    private static String tokenizer(String normalizer, String model) {
        return "{'version': '1.0', 'added_tokens': [], 'normalizer': %s, 'model': %s}"
                .formatted(normalizer, model)
                .replace('\'', '"');
    }

    static Stream<Arguments> tokenizers() {
        String words = "{'type': 'WordLevel', 'vocab': {'a': 0}, 'unk_token': 'a'}";
        return Stream.of(
                Arguments.of("junk", "is not valid JSON"),
                Arguments.of("{\"model\": 3}", "model: expected an object"),
                Arguments.of("{\"model\": {}}", "is no tokenizer: "),
                Arguments.of(tokenizer("null", words.replace("WordLevel", "Unheard")), "is no tokenizer: "),
                Arguments.of(
                        tokenizer("{'type': 'Replace', 'pattern': {'Regex': '(a+)+$'}, 'content': ''}", words),
                        "the pattern \"(a+)+$\" repeats what repeats"),
                Arguments.of(
                        tokenizer(
                                "{'type': 'Replace', 'pattern': {'Regex': '[[:nothing:]]\\\\p{Nothing}'}, 'content': ''}",
                                words),
                        "is no tokenizer: "),
                Arguments.of(
                        tokenizer(
                                "null",
                                "{'type': 'WordPiece', 'vocab': {'a': 0}, 'unk_token': '[UNK]',"
                                        + " 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100}"),
                        "does not take this text: "),
                Arguments.of(
                        tokenizer(
                                "null", "{'type': 'WordLevel', 'vocab': {'movie': 4000000000}, 'unk_token': 'movie'}"),
                        "gives the token id 4000000000"));
    }

    @ParameterizedTest(name = "{1}")
    @MethodSource
    void tokenizers(String json, String sentence) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        Files.writeString(base.resolve("tokenizer.json"), json);
        Path data = Files.writeString(folder.resolve("data.tsv"), DATA);
        assertFails(3, sentence, train(base, data));
    }

    static Stream<Arguments> rates() {
        return Stream.of(
                Arguments.of("--lr", "1e999"),
                Arguments.of("--lr", "NaN"),
                Arguments.of("--head-lr", "Infinity"),
                Arguments.of("--weight-decay", "1e999"),
                Arguments.of("--clip", "NaN"),
                Arguments.of("--warmup", "NaN"));
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource
    void rates(String option, String value) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        Path data = Files.writeString(folder.resolve("data.tsv"), DATA);
        assertFails(2, option + ": expected ", train(base, data, option, value));
    }

    private Object[] train(Path base, Path data, Object... more) {
        Object[] fixed = {
            "train",
            "--base",
            base,
            "--method",
            "lora",
            "--rank",
            "2",
            "--target",
            "query",
            "--data",
            data,
            "--eval",
            data,
            "--epochs",
            "1",
            "--device",
            "cpu",
            "--out",
            folder.resolve("out")
        };
        return Stream.concat(Stream.of(fixed), Stream.of(more)).toArray();
    }

    private void assertFails(int exitCode, String sentence, Object... args) {
        Cli result = Cli.run(args);
        assertTrue(result.errors().contains(sentence), result.errors());
        assertEquals(exitCode, result.exitCode(), result.errors());
        assertEquals(1, result.errors().strip().lines().count(), result.errors());
        assertFalse(Files.exists(folder.resolve("out")), "something was written");
    }
}
