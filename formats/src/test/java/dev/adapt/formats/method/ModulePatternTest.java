package dev.adapt.formats.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("A config's expressions of module names are Python's, and take no time")
class ModulePatternTest {
    private static ModulePattern pattern(String expression) {
        JsonDocument document =
                JsonDocument.parse(Path.of("adapter_config.json"), "{}".getBytes(StandardCharsets.UTF_8));
        return ModulePattern.of(document, "target_modules", expression, "a regular expression");
    }

    @ParameterizedTest
    @CsvSource({"q_proj,true", "layers.1.q_proj,true", "layers.1.xq_proj,false", "layers.1.q_proj.x,false"})
    void endsOfNames(String module, boolean expected) {
        assertEquals(expected, new ModulePatterns("rank_pattern", Map.of("q_proj", 3.0)).of(module, 0) == 3);
    }

    @ParameterizedTest
    @CsvSource({
        "q_proj, model.q_proj, true",
        "q_proj, q_proj, true",
        "q_.*, q_proj, false",
        "q_.*, model.q_proj, true",
        "q_proj|v_proj, v_proj, true",
        "q_proj|v_proj, model.v_proj, false",
        "q_proj|v_proj, model.q_proj.x, true"
    })
    @DisplayName("FourierFT's and C3A's are matched by .*\\.PATTERN$, their alternatives not grouped")
    void afterDot(String expression, String module, boolean expected) {
        ModulePatterns patterns = new ModulePatterns(
                Path.of("adapter_config.json"),
                "n_frequency_pattern",
                Map.of(expression, 3.0),
                ModulePatterns.Rule.AFTER_DOT);
        assertEquals(expected, patterns.of(module, 0) == 3);
    }

    @Test
    @DisplayName("(IA)³'s feedforward_modules are ends of names, also without a dot")
    void anyEnd() {
        ModuleMatcher matcher = new ModuleMatcher(List.of("proj"), Optional.empty());
        assertTrue(matcher.matchesEnd("layers.1.up_proj"));
        assertFalse(matcher.matches("layers.1.up_proj"));
    }

    @Test
    void pythonsSyntax() {
        assertTrue(pattern("(?P<side>a|b)\\.(?P=side)\\Z").matches("a.a"));
        assertFalse(pattern("(?P<side>a|b)\\.(?P=side)\\Z").matches("a.b"));
    }

    @Test
    void lastGroup() {
        assertEquals(
                Optional.of("12"),
                pattern(".*\\.layers\\.(\\d+)\\.").lastGroup("model.layers.12.mlp.up_proj", plenty()));
        assertEquals(Optional.empty(), pattern(".*\\.layers\\.(\\d+)\\.").lastGroup("model.norm", plenty()));
    }

    @Test
    void backtrackingWithoutEndIsRefused() {
        FormatException e = assertThrows(
                FormatException.class,
                () -> pattern("(.*.*)*(.*.*)*x").matches("encoder.layer.0.attention.self.query"));
        assertTrue(e.getMessage().contains("takes too long to match"), e.getMessage());
    }

    @Test
    void noExpression() {
        FormatException e = assertThrows(FormatException.class, () -> pattern("(q"));
        assertTrue(e.getMessage().contains("expected a regular expression (Unclosed group)"), e.getMessage());
    }

    private static AtomicLong plenty() {
        return new AtomicLong(1_000_000);
    }

    @ParameterizedTest(name = "{0} is {1}")
    @CsvSource({
        "model.layers.0.q_proj, 1", // a plain name, whole or after a dot
        "q_proj, 1",
        "model.layers.0.xq_proj, 9",
        "model.layers.3.up, 2", // a dot of a pattern is any character, as in Python
        "model.layers.3xup, 2",
        "model.layers.7.v_proj, 3", // an expression before the name that would match too
        "model.layers.8.v_proj, 4",
        "model.layers.7.down, 5", // of two names the first
    })
    @DisplayName("the first pattern that a name ends with gives its number")
    void firstPattern(String module, double expected) {
        Map<String, Double> numbers = new LinkedHashMap<>();
        numbers.put("q_proj", 1.0);
        numbers.put("layers.3.up", 2.0);
        numbers.put("[67]\\.v_proj", 3.0);
        numbers.put("v_proj", 4.0);
        numbers.put("7.down", 5.0);
        numbers.put("down", 6.0);
        assertEquals(expected, new ModulePatterns("rank_pattern", numbers).of(module, 9));
    }

    @Test
    @DisplayName("of 200,000 plain names each is looked up; of 20,000 slow expressions all share a budget")
    void manyPatterns() {
        Map<String, Double> names = new LinkedHashMap<>();
        Map<String, Double> slow = new LinkedHashMap<>();
        for (int i = 0; i < 200_000; i++) {
            names.put("layers." + i + ".q_proj", (double) i);
        }
        for (int i = 0; i < 20_000; i++) {
            slow.put("(.*)(.*)(.*)q" + i, 2.0);
        }
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            ModulePatterns plain = new ModulePatterns("rank_pattern", names);
            for (int i = 0; i < 200_000; i++) {
                assertEquals(i, plain.of("model.layers." + i + ".q_proj", -1));
            }
            ModulePatterns expressions = new ModulePatterns("rank_pattern", slow);
            FormatException thrown = assertThrows(
                    FormatException.class, () -> expressions.of("encoder.layer.0.attention.self.query", 2));
            assertTrue(thrown.getMessage().contains("take too long to match in all"), thrown.getMessage());
            assertTrue(thrown.getMessage().contains("rank_pattern"), thrown.getMessage());
        });
    }
}
