package dev.adapt.cli.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("The demo deletes what it wrote itself, when asked, and nothing else")
class DemoFolderTest {
    @TempDir
    private Path temporary;

    @Test
    @DisplayName("a folder of the user's is refused and left as it was")
    void foreign() throws IOException {
        Path folder = Files.createDirectories(temporary.resolve("home/base")).getParent();
        Path thesis = Files.writeString(folder.resolve("base/thesis.txt"), "mine");
        assertRefused(folder, false, "was not made by the demo");
        assertRefused(folder, true, "was not made by the demo");
        assertEquals("mine", Files.readString(thesis));
    }

    @Test
    @DisplayName("an earlier demo is replaced only with --overwrite")
    void earlier() throws IOException {
        Path folder = demo();
        assertRefused(folder, false, "holds an earlier demo; replace it with --overwrite");
        assertTrue(Files.exists(folder.resolve("base/config.json")));
        DemoFolder.claim(folder, true);
        assertFalse(Files.exists(folder.resolve("base")));
    }

    @Test
    @DisplayName("a demo with the user's files in it, changed files or planted links is left whole")
    void mixed() throws IOException {
        Path added = demo();
        Files.writeString(added.resolve("base/thesis.txt"), "mine");
        assertRefused(added, true, "thesis.txt: was not written by the demo or was changed since");

        Path changed = demo();
        Files.writeString(changed.resolve("data.tsv"), "my own examples");
        assertRefused(changed, true, "data.tsv: was not written by the demo or was changed since");

        Path linked = demo();
        Path elsewhere = temporary.resolve("elsewhere");
        Files.move(linked.resolve("base"), elsewhere);
        Files.createSymbolicLink(linked.resolve("base"), elsewhere);
        assertRefused(linked, true, "base: was not written by the demo or was changed since");
        assertTrue(Files.exists(elsewhere.resolve("config.json")));
        assertTrue(Files.exists(linked.resolve("data.tsv")));
    }

    @Test
    @DisplayName("a record names nothing outside the folder")
    void hostileRecord() throws IOException {
        Path outside = Files.writeString(temporary.resolve("outside"), "mine");
        Path folder = Files.createDirectories(temporary.resolve("hostile"));
        Files.writeString(folder.resolve(".adapt-demo.json"), "{\"files\": {\"../outside\": \"folder\"}}");
        DemoFolder.claim(folder, true);
        assertTrue(Files.exists(outside));
    }

    private Path demo() throws IOException {
        Path folder = Files.createTempDirectory(temporary, "demo");
        DemoFolder demo = DemoFolder.claim(folder, false);
        Files.createDirectories(folder.resolve("base"));
        Files.writeString(folder.resolve("base/config.json"), "{}");
        Files.writeString(folder.resolve("data.tsv"), "good\tmovie\n");
        demo.record();
        return folder;
    }

    private static void assertRefused(Path folder, boolean overwrite, String sentence) {
        UsageException refused = assertThrows(UsageException.class, () -> DemoFolder.claim(folder, overwrite));
        assertTrue(String.valueOf(refused.getMessage()).contains(sentence), refused.getMessage());
    }
}
