package dev.adapt.train.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("A pattern of a tokenizer")
class BacktrackingTest {
    private static final String CASED = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
    private static final String LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
    private static final String ENDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private static final String BLANKS = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    static Stream<Arguments> real() {
        return Stream.of(
                Arguments.of(
                        "GPT-2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"),
                Arguments.of(
                        "Llama 3, cl100k",
                        ENDS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" + BLANKS),
                Arguments.of(
                        "cl100k, possessive",
                        "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+"
                                + "|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"),
                Arguments.of(
                        "Qwen 2",
                        ENDS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" + BLANKS),
                Arguments.of(
                        "o200k",
                        "[^\\r\\n\\p{L}\\p{N}]?" + CASED + "*" + LOWER + "+" + ENDS + "?|[^\\r\\n\\p{L}\\p{N}]?" + CASED
                                + "+" + LOWER + "*" + ENDS + "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" + BLANKS),
                Arguments.of(
                        "Tekken (Mistral)",
                        "[^\\r\\n\\p{L}\\p{N}]?" + CASED + "*" + LOWER + "+|[^\\r\\n\\p{L}\\p{N}]?" + CASED + "+"
                                + LOWER + "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" + BLANKS),
                Arguments.of(
                        "Kimi K2",
                        "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*"
                                + "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+" + ENDS + "?|\\p{N}{1,3}|"
                                + " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" + BLANKS),
                Arguments.of("DeepSeek V3, numbers", "\\p{N}{1,3}"),
                Arguments.of("DeepSeek V3, Chinese", "[一-龥぀-ゟ゠-ヿ]+"),
                Arguments.of(
                        "DeepSeek V3",
                        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                                + "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"),
                Arguments.of("DeepSeek LLM, words", "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+"),
                Arguments.of("DeepSeek LLM, marks", "\\s?[!-/:-~！-／：-～‘-‟　-。]+"),
                Arguments.of("DeepSeek LLM, end", "\\s+$"),
                Arguments.of("Cohere, numbers", "\\d{1,3}(?=(?:\\d{3})*\\b)"),
                Arguments.of("numbers from the right", "(?=(\\d{3})+(?!\\d))"),
                Arguments.of("BLOOM", " ?[^(\\s|[.,!?…。，、।۔،])]+"),
                Arguments.of("Falcon", "[0-9][0-9][0-9]"),
                Arguments.of(
                        "CLIP",
                        "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"),
                Arguments.of("T5, ALBERT and XLM-R, blanks", " {2,}"),
                Arguments.of("CLIP, blanks", "\\s+"),
                Arguments.of("words", "\\w+|[^\\w\\s]+"),
                Arguments.of("POSIX", "[[:alpha:]]+|[[:^space:]]"),
                Arguments.of(
                        "SMILES",
                        "(\\[[^\\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\\(|\\)|\\.|=|#|-|\\+|\\\\|\\/|:|~|@|\\?|>|\\*|\\$"
                                + "|\\%[0-9]{2}|[0-9])"));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource
    @DisplayName("that a real tokenizer has is accepted")
    void real(String tokenizer, String pattern) {
        assertEquals(Optional.empty(), Backtracking.fault(pattern));
    }

    static Stream<Arguments> hostile() {
        return Stream.of(
                Arguments.of("(a+)+$", "exponentially"),
                Arguments.of("(a*)*b", "exponentially"),
                Arguments.of("(a|a)*$", "exponentially"),
                Arguments.of("(a|aa)+$", "exponentially"),
                Arguments.of("(?:a|b|ab)*c", "exponentially"),
                Arguments.of("(a?b?c?)*d", "exponentially"),
                Arguments.of("([a-zA-Z]+)*[0-9]", "exponentially"),
                Arguments.of("^(([a-z])+.)+[A-Z]([a-z])+$", "exponentially"),
                Arguments.of("(\\w+\\s?)+!", "exponentially"),
                Arguments.of("(x+x+)+y", "exponentially"),
                Arguments.of("(?i)(a|A)*!", "exponentially"),
                Arguments.of("(?i:k|\\x{212a})+!", "exponentially"),
                Arguments.of("(\\p{L}|[^\\W\\d])+!", "exponentially"),
                Arguments.of("(?:😀+)+!", "exponentially"),
                Arguments.of("(?:\\x{1f600}|[😀-😂])+!", "exponentially"),
                Arguments.of("(?:(?:a{1,9}){1,9})+b", "exponentially"),
                Arguments.of("(?=(a+)+$)a", "exponentially"),
                Arguments.of("(?<n>a+)+\\b", "exponentially"),
                Arguments.of("(?>a+)+$", "exponentially"),
                Arguments.of("(\\p{Unknown_Property}|a)*!", "exponentially"),
                Arguments.of("a*a*b", "a power of the length"),
                Arguments.of("\\s+\\S*.*\\w*!", "a power of the length"),
                Arguments.of("(.*a){20}", "exponentially"),
                Arguments.of(".*.*=.*;", "a power of the length"),
                Arguments.of("a?".repeat(30) + "a{30}", "too many choices"),
                Arguments.of("(?:a|a)".repeat(20) + "b", "too many choices"),
                Arguments.of("a+(?=.*b)", "asks in a loop"),
                Arguments.of("(?:a(?!.*b))+", "asks in a loop"),
                Arguments.of("(a)\\1", "refers back"),
                Arguments.of("(?<x>a\\g<x>?)", "refers back"),
                Arguments.of("(?~ab)", "not supported"),
                Arguments.of("(*FAIL)", "callout"),
                Arguments.of("(".repeat(60) + "a" + ")".repeat(60), "nests groups deeper"),
                Arguments.of("[".repeat(60) + "a" + "]".repeat(60), "nests classes deeper"),
                Arguments.of("a" + "{2}".repeat(30), "written out"),
                Arguments.of("a{99999999999}", "more often than can be counted"),
                Arguments.of("(a", "nothing closes"),
                Arguments.of("a)", "did not open"),
                Arguments.of("[a", "nothing closes"),
                Arguments.of("a\\", "backslash"),
                Arguments.of("*a", "repeats nothing"),
                Arguments.of("a".repeat(10_001), "longer than"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource
    @DisplayName("that may not end, or says what cannot be checked, is refused with the reason")
    void hostile(String pattern, String reason) {
        Optional<String> fault = assertTimeout(Duration.ofSeconds(10), () -> Backtracking.fault(pattern));
        assertTrue(fault.orElse("accepted").contains(reason), fault::toString);
    }
}
