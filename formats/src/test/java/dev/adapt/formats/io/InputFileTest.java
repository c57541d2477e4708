package dev.adapt.formats.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A file to read")
class InputFileTest {
    @TempDir
    private Path folder;

    @Test
    @DisplayName("is no folder, no pipe and no device, and exists")
    void isRegular() throws IOException, InterruptedException {
        assertRefused("is a folder, expected a file", () -> InputFile.named(folder));
        assertRefused("is a pipe or a device", () -> InputFile.named(Path.of("/dev/null")));
        Path pipe = folder.resolve("pipe");
        assumeTrue(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor() == 0, "no mkfifo");
        assertRefused("is a pipe or a device", () -> InputFile.found(pipe));
        assertThrows(NoSuchFileException.class, () -> InputFile.named(folder.resolve("nothing")));
    }

    @Test
    @DisplayName("if found in a folder, does not lead out of it; if named by the user, may")
    void linkOut() throws IOException {
        Path secret = Files.writeString(folder.resolve("id_rsa"), "secret");
        Path base = Files.createDirectory(folder.resolve("base"));
        Path link = Files.createSymbolicLink(base.resolve("vocab.txt"), secret);
        assertRefused("is a link out of its folder", () -> InputFile.found(link));
        assertEquals("secret", InputFile.named(link).text(Limit.CONFIG));
        Path inside = Files.writeString(base.resolve("words.txt"), "words");
        Path ownLink = Files.createSymbolicLink(base.resolve("own.txt"), inside.getFileName());
        assertEquals("words", InputFile.found(ownLink).text(Limit.CONFIG));
    }

    @Test
    @DisplayName("may be a blob of the same repository in the hub's cache, and of no other")
    void hubCache() throws IOException {
        for (String name : new String[] {"models--a", "models--b", "plain"}) {
            Files.createDirectories(folder.resolve(name + "/blobs"));
            Files.createDirectories(folder.resolve(name + "/snapshots/0123/1_Pooling"));
            Files.writeString(folder.resolve(name + "/blobs/ff"), name);
        }
        assertEquals(
                "models--a",
                InputFile.found(link("models--a/snapshots/0123/a.json", "../../blobs/ff"))
                        .text(Limit.CONFIG));
        assertEquals(
                "models--a",
                InputFile.found(link("models--a/snapshots/0123/1_Pooling/a.json", "../../../blobs/ff"))
                        .text(Limit.CONFIG));
        Path other = link("models--a/snapshots/0123/b.json", "../../../models--b/blobs/ff");
        assertRefused("is a link out of its folder", () -> InputFile.found(other));
        Path plain = link("plain/snapshots/0123/a.json", "../../blobs/ff");
        assertRefused("is a link out of its folder", () -> InputFile.found(plain));
    }

    private Path link(String name, String target) throws IOException {
        return Files.createSymbolicLink(folder.resolve(name), Path.of(target));
    }

    @Test
    @DisplayName("is read whole up to its limit")
    void limit() throws IOException {
        Path large = folder.resolve("config.json");
        try (var channel = Files.newByteChannel(large, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            channel.position(Limit.CONFIG.bytes());
            channel.write(java.nio.ByteBuffer.allocate(1));
        }
        assertRefused(
                "more than the 16777216 that are read of a config",
                () -> InputFile.named(large).bytes(Limit.CONFIG));
        assertRefused("more than", () -> JsonDocument.read(large));
    }

    @Test
    @DisplayName("as JSON, nests at most 100 deep")
    void nesting() throws IOException {
        Path deep = folder.resolve("deep.json");
        Files.writeString(deep, "{\"a\": " + "[".repeat(99) + "]".repeat(99) + "}");
        assertTrue(JsonDocument.read(deep).has("a"));
        Files.writeString(deep, "{\"a\": " + "[".repeat(50_000) + "]".repeat(50_000) + "}");
        assertRefused("nesting depth", () -> JsonDocument.read(deep));
    }

    @Test
    @DisplayName("is known to have been changed, replaced or removed")
    void snapshot() throws IOException {
        Path file = Files.writeString(folder.resolve("base"), "1234");
        Snapshot before = InputFile.named(file).snapshot();
        before.requireUnchanged();
        FileTime time = Files.getLastModifiedTime(file);
        Files.writeString(file, "4321");
        Files.setLastModifiedTime(file, FileTime.fromMillis(time.toMillis() + 5000));
        assertRefused("was changed while it was read", before::requireUnchanged);
        Path other = Files.writeString(folder.resolve("other"), "1234");
        Files.setLastModifiedTime(other, time);
        Files.move(other, file, StandardCopyOption.REPLACE_EXISTING);
        assertRefused("was replaced by another file", before::requireUnchanged);
        Files.delete(file);
        assertRefused("was removed", before::requireUnchanged);
    }

    private static void assertRefused(String sentence, Executable read) {
        FormatException refused = assertThrows(FormatException.class, read);
        assertTrue(String.valueOf(refused.getMessage()).contains(sentence), refused.getMessage());
    }
}
