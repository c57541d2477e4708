package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.diff.CheckpointDiff;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("The README's example of the libraries")
class LibraryExampleTest {
    private static final Path SOURCE = Path.of("src/test/java/dev/adapt/tests/LibraryExampleTest.java");

    @TempDir
    private Path temporary;

    @Test
    @DisplayName("merges an adapter and finds what it changed: query and value of two layers")
    void merges() throws IOException {
        Path stored = StoredCases.at("fixtures/bert", temporary);
        Path folder = Files.createDirectory(temporary.resolve("example"));
        Files.createSymbolicLink(folder.resolve("base"), stored.resolve("base"));
        Files.createSymbolicLink(folder.resolve("adapter"), stored.resolve("lora"));
        assertEquals(4, example(folder));
    }

    private static long example(Path folder) throws IOException {
        long changed;
        // README:
        try (Checkpoint base = Checkpoint.open(folder.resolve("base"))) {
            Adapter adapter = Adapter.read(folder.resolve("adapter"));
            Merger.of(base, adapter).merge(folder.resolve("merged"));
            try (Checkpoint merged = Checkpoint.open(folder.resolve("merged"))) {
                CheckpointDiff diff = CheckpointDiff.of(base, merged);
                changed = diff.tensors().size() - diff.identical();
            }
        }
        // end
        return changed;
    }

    @Test
    @DisplayName("is the code that the README shows")
    void isTheReadmes() throws IOException {
        String source = Files.readString(SOURCE);
        String code = source.substring(source.indexOf("// README:\n") + 11, source.indexOf("        // end\n"))
                .stripTrailing()
                .stripIndent();
        String readme = Files.readString(Path.of("..", "README.md"));
        assertTrue(readme.contains("```java\n" + code + "\n```\n"), "README.md does not show:\n" + code);
    }
}
