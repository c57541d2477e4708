package dev.adapt.formats.binding;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.model.TinyBert;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("The names a user gives for layers")
class BindingTest {
    @TempDir
    private Path folder;

    @Test
    void areWholeNamesOrTheirEnds() throws IOException {
        assertEquals(
                List.of("encoder.layer.0.attention.self.query", "encoder.layer.1.attention.self.query"),
                modules("query"));
        assertEquals(List.of("encoder.layer.1.attention.self.query"), modules("encoder.layer.1.attention.self.query"));
        // all three kinds of dense layers, in the model's order, each once
        assertEquals(6, modules("dense", "attention.output.dense").size());
    }

    @Test
    void giveEachLayerItsShape() throws IOException {
        try (Checkpoint base = Checkpoint.open(TinyBert.write(folder, 1))) {
            Target target = targets(base, "intermediate.dense").getFirst();
            assertEquals(TinyBert.INNER, target.out());
            assertEquals(TinyBert.HIDDEN, target.in());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "qury, query",
        "values, value",
        "q_proj, ''",
        "attn.self.query, attention.self.query",
        "uery, query",
        "LayerNorm, ''",
    })
    void thatMeanNothingAreAnsweredWithNearMatches(String name, String near) throws IOException {
        FormatException thrown = assertThrows(FormatException.class, () -> modules(name));
        String start = folder + ": no module is called \"" + name + "\"; near matches: ";
        assertEquals(start, thrown.getMessage().substring(0, start.length()));
        List<String> matches =
                List.of(thrown.getMessage().substring(start.length()).split(", "));
        assertEquals(4, matches.size());
        if (!near.isEmpty()) {
            assertEquals(near, matches.getFirst());
        }
    }

    private List<String> modules(String... names) throws IOException {
        try (Checkpoint base = Checkpoint.open(TinyBert.write(folder, 1))) {
            return targets(base, names).stream().map(Target::module).toList();
        }
    }

    private static List<Target> targets(Checkpoint base, String... names) {
        return new Binding(base)
                .targets(
                        List.of(names),
                        Architectures.of(new ModelConfig(base.config().orElseThrow())));
    }
}
