package dev.adapt.train.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("A tokenizer.json")
class TokenizerFileTest {
    private static final Path FILE = Path.of("tokenizer.json");
    private static final String WORDS = "'model': {'type': 'WordLevel', 'vocab': {'a': 0}, 'unk_token': 'a'}";

    /** Quotes are written as apostrophes. */
    private static TokenizerFile parse(String json) {
        return TokenizerFile.parse(FILE, json.replace('\'', '"').getBytes(StandardCharsets.UTF_8));
    }

    private static String split(String regex) {
        return "{'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Split', 'pattern': {'Regex': '"
                + regex + "'}, 'behavior': 'Isolated', 'invert': false}]}, " + WORDS + "}";
    }

    private static String normalizer(String component) {
        return "{'normalizer': " + component + ", " + WORDS + "}";
    }

    static Stream<Arguments> hostile() {
        String doubled = "{'type': 'Replace', 'pattern': {'String': 'a'}, 'content': 'aa'}";
        return Stream.of(
                Arguments.of("", "must hold one JSON object"),
                Arguments.of("[]", "must hold one JSON object"),
                Arguments.of("{", "is not valid JSON"),
                Arguments.of("{'a': ".repeat(5000), "is not valid JSON"),
                Arguments.of("{} {}", "something follows"),
                Arguments.of("{'model': {}, 'model': {}}", "Duplicate"),
                Arguments.of("{}", "model: expected an object"),
                Arguments.of("{'model': 3}", "model: expected an object"),
                Arguments.of(split("(a+)+$"), "pre_tokenizer: the pattern \"(a+)+$\" repeats what repeats"),
                Arguments.of(
                        normalizer("{'type': 'Replace', 'pattern': {'Regex': 'a*a*b'}, 'content': ''}"),
                        "normalizer: the pattern \"a*a*b\""),
                Arguments.of(
                        "{'decoder': {'type': 'Replace', 'pattern': {'Regex': '(a|a)*b'}, 'content': ''}, " + WORDS
                                + "}",
                        "decoder: the pattern \"(a|a)*b\""),
                Arguments.of(split("x".repeat(20_000)), "longer than 10000 characters"),
                Arguments.of(
                        normalizer("[" + (doubled + ",").repeat(20) + doubled + "]"), "more than 1000.0 times as long"),
                Arguments.of(
                        normalizer("{'type': 'Prepend', 'prepend': '" + "x".repeat(2000) + "'}"),
                        "at most 1000 characters"),
                Arguments.of(
                        "{'pre_tokenizer': {'type': 'FixedLength', 'length': 0}, " + WORDS + "}",
                        "length: expected 1 to"),
                Arguments.of(
                        "{'decoder': {'type': 'Strip', 'content': 'a', 'start': 0, 'stop': 5}, " + WORDS + "}",
                        "stop: expected 0"),
                Arguments.of(
                        "{'model': {'type': 'BPE', 'vocab': {'a': 0, 'b': 1, 'ab': 2}, 'merges': ['a b'],"
                                + " 'continuing_subword_prefix': '##'}}",
                        "merges: expected the second part"),
                Arguments.of(
                        "{'model': {'type': 'WordPiece', 'vocab': {}, 'max_input_chars_per_word': 99999999}}",
                        "max_input_chars_per_word: expected 0 to 10000"),
                Arguments.of(
                        normalizer("{'type': 'Precompiled', 'precompiled_charsmap': 'BAAAAP///38='}"),
                        "leads out of its own table"),
                Arguments.of(
                        "{'post_processor': {'single': [" + "{'Sequence': 1},".repeat(2000) + "{}]}, " + WORDS + "}",
                        "more than 1000 parts"));
    }

    @ParameterizedTest(name = "{1}")
    @MethodSource
    @DisplayName("that would end the process is refused in a sentence of a line")
    void hostile(String json, String sentence) {
        FormatException thrown = assertThrows(FormatException.class, () -> parse(json));
        assertTrue(thrown.getMessage().startsWith("tokenizer.json: "), thrown::getMessage);
        assertTrue(thrown.getMessage().contains(sentence), thrown::getMessage);
        assertTrue(thrown.getMessage().length() < 700, thrown::getMessage);
    }

    @Test
    @DisplayName("is read with a byte order mark, which the library is not given")
    void mark() {
        String json = split("\\\\s+");
        assertEquals(json.replace('\'', '"'), parse("\uFEFF" + json).text());
    }

    @Test
    @DisplayName("may hold a table of normalizations that stays inside itself")
    void charsmap() {
        // the root leads to block 1 (units 256 and up); the byte 'a' there to block 2, whose first unit is a result
        ByteBuffer table = ByteBuffer.allocate(4 + 4 * 768 + 2).order(ByteOrder.LITTLE_ENDIAN);
        table.putInt(0, 4 * 768);
        table.putInt(4, 256 << 10);
        int node = 256 ^ 'a';
        table.putInt(4 + 4 * node, ((node ^ 512) << 10) | 1 << 8 | 'a');
        table.put(4 + 4 * 768, (byte) 'b');
        assertTrue(Charsmap.isSound(Base64.getEncoder().encodeToString(table.array())));
        table.putInt(4 + 4 * 512, 3);
        assertTrue(!Charsmap.isSound(Base64.getEncoder().encodeToString(table.array())), "a result behind the end");
        table.putInt(4 + 4 * 512, 0);
        table.putInt(4 + 4 * node, ((node ^ 768) << 10) | 'a');
        assertTrue(!Charsmap.isSound(Base64.getEncoder().encodeToString(table.array())), "a unit behind the end");
    }
}
