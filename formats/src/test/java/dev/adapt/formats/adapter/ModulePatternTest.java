package dev.adapt.formats.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;
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
        assertEquals(expected, ModulePattern.ofEnd("rank_pattern", "q_proj").matches(module));
    }

    @Test
    void pythonsSyntax() {
        assertTrue(pattern("(?P<side>a|b)\\.(?P=side)\\Z").matches("a.a"));
        assertFalse(pattern("(?P<side>a|b)\\.(?P=side)\\Z").matches("a.b"));
    }

    @Test
    void lastGroup() {
        assertEquals(Optional.of("12"), pattern(".*\\.layers\\.(\\d+)\\.").lastGroup("model.layers.12.mlp.up_proj"));
        assertEquals(Optional.empty(), pattern(".*\\.layers\\.(\\d+)\\.").lastGroup("model.norm"));
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
}
