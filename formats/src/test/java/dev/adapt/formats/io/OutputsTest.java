package dev.adapt.formats.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("What a command writes")
class OutputsTest {
    @TempDir
    private Path folder;

    private Path base = Path.of("");
    private Path weights = Path.of("");

    @BeforeEach
    void makeInputs() throws IOException {
        base = Files.createDirectory(folder.resolve("base"));
        weights = Files.writeString(base.resolve("model.safetensors"), "weights");
    }

    @Test
    @DisplayName("appears whole under its name, and leaves nothing else")
    void appears() throws IOException {
        Outputs outputs = Outputs.fresh();
        try (OutputFile file = outputs.file(folder.resolve("deep/file"))) {
            file.text("text");
            assertFalse(Files.exists(folder.resolve("deep/file")));
            file.commit();
        }
        try (OutputFolder out = outputs.folder(folder.resolve("out"))) {
            out.text("a", "text");
            out.commit();
        }
        assertEquals("text", Files.readString(folder.resolve("deep/file")));
        assertEquals(List.of("a"), names(folder.resolve("out")));
        assertEquals(List.of("file"), names(folder.resolve("deep")));
        assertEquals(List.of("base", "deep", "out"), names(folder));
    }

    @Test
    @DisplayName("leaves nothing if it is not committed")
    void leavesNothing() throws IOException {
        Outputs outputs = Outputs.fresh();
        try (OutputFile file = outputs.file(folder.resolve("file"));
                OutputFolder out = outputs.folder(folder.resolve("out"))) {
            file.text("half");
            Files.createDirectory(out.path().resolve("sub"));
            out.text("sub/a", "half");
        }
        assertEquals(List.of("base"), names(folder));
    }

    @Test
    @DisplayName("has a temporary name that cannot be guessed, of at most 255 bytes")
    void randomName() throws IOException {
        Path target = folder.resolve("ä".repeat(100));
        try (OutputFile one = Outputs.fresh().file(target);
                OutputFile two = Outputs.fresh().file(target)) {
            one.text("1");
            two.text("2");
            assertNotEquals(one.path(), two.path());
            assertTrue(one.path().getFileName().toString().matches("\\.ä{50}\\.[0-9a-z]{20,25}\\.tmp"));
            assertEquals(target, one.target());
        }
    }

    @Test
    @DisplayName("is named in an error as the user named it")
    void shownName() {
        Path inside = Path.of("a/.out.0123456789abcdefghij.tmp/model.safetensors");
        IOException named = OutputFile.unwritable(inside, new IOException("No space left on device"));
        assertEquals("a/out/model.safetensors", ((FileSystemException) named).getFile());
        assertTrue(String.valueOf(named.getMessage()).contains("No space left on device"));
    }

    @Test
    @DisplayName("replaces nothing unless that is asked for")
    void replacesNothing() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "old");
        Path full = Files.createDirectory(folder.resolve("full"));
        Files.writeString(full.resolve("a"), "old");
        assertThrows(FileAlreadyExistsException.class, () -> Outputs.fresh().file(file));
        assertThrows(FileAlreadyExistsException.class, () -> Outputs.fresh().file(full));
        assertThrows(FileAlreadyExistsException.class, () -> Outputs.fresh().folder(file));
        assertThrows(DirectoryNotEmptyException.class, () -> Outputs.fresh().folder(full, Set.of("a")));
        assertThrows(FileAlreadyExistsException.class, () -> Outputs.fresh().file(Path.of("/dev/null")));
        Outputs replacing = Outputs.apartFrom(List.of(), true);
        try (OutputFile out = replacing.file(file);
                OutputFolder outs = replacing.folder(full, Set.of("a", "b"))) {
            out.text("new");
            outs.text("b", "new");
            out.commit();
            outs.commit();
        }
        assertEquals("new", Files.readString(file));
        assertEquals(List.of("b"), names(full));
        assertEquals(List.of("base", "file", "full"), names(folder));
    }

    @Test
    @DisplayName("replaces no folder that holds what is not written again")
    void keepsOtherFiles() throws IOException {
        Path full = Files.createDirectory(folder.resolve("full"));
        Files.writeString(full.resolve("notes.txt"), "mine");
        Outputs replacing = Outputs.apartFrom(List.of(), true);
        FileAlreadyExistsException refused =
                assertThrows(FileAlreadyExistsException.class, () -> replacing.folder(full, Set.of("a")));
        assertTrue(String.valueOf(refused.getReason()).contains("notes.txt"), refused.getReason());
        Path late = Files.createDirectory(folder.resolve("late"));
        try (OutputFolder out = replacing.folder(late, Set.of("a"))) {
            out.text("a", "new");
            Files.writeString(late.resolve("notes.txt"), "mine");
            assertThrows(FileAlreadyExistsException.class, out::commit);
        }
        assertEquals(List.of("notes.txt"), names(late));
        assertEquals(List.of("base", "full", "late"), names(folder));
    }

    @Test
    @DisplayName("is not replaced where another program was faster")
    void two() throws IOException {
        Path file = folder.resolve("file");
        Path out = folder.resolve("out");
        try (OutputFile first = Outputs.fresh().file(file);
                OutputFile second = Outputs.fresh().file(file);
                OutputFolder third = Outputs.fresh().folder(out);
                OutputFolder fourth = Outputs.fresh().folder(out)) {
            first.text("first");
            second.text("second");
            third.text("third", "");
            fourth.text("fourth", "");
            first.commit();
            third.commit();
            assertThrows(FileAlreadyExistsException.class, second::commit);
            assertThrows(FileSystemException.class, fourth::commit);
        }
        assertEquals("first", Files.readString(file));
        assertEquals(List.of("third"), names(out));
        assertEquals(List.of("base", "file", "out"), names(folder));
    }

    @Test
    @DisplayName("is no input, however it is spelled, also where replacing was asked for")
    void noInput() throws IOException {
        Path link = Files.createSymbolicLink(folder.resolve("link"), base);
        Path blob = Files.writeString(folder.resolve("blob"), "blob");
        Files.createSymbolicLink(base.resolve("vocab.txt"), blob);
        Path toWeights = Files.createSymbolicLink(folder.resolve("to-weights"), weights);
        Outputs outputs = Outputs.apartFrom(List.of(base), true);
        for (Path target : List.of(
                weights,
                link.resolve("model.safetensors"),
                folder.resolve("base/../base/model.safetensors"),
                blob,
                toWeights)) {
            UsageException refused = assertThrows(UsageException.class, () -> outputs.file(target), target::toString);
            assertTrue(String.valueOf(refused.getMessage()).contains("is an input of this command"));
        }
        for (Path target : List.of(base, link, link.resolve("x"), base.resolve("x/y"), folder)) {
            assertThrows(UsageException.class, () -> outputs.folder(target, Set.of("base")), target::toString);
        }
        outputs.file(base.resolve("model.onnx")).close();
        assertEquals("weights", Files.readString(weights));
        assertEquals(List.of("base", "blob", "link", "to-weights"), names(folder));
    }

    @Test
    @DisplayName("is no other output, and lies in none")
    void noOtherOutput() throws IOException {
        Outputs outputs = Outputs.fresh();
        Path out = folder.resolve("out");
        try (OutputFolder merged = outputs.folder(out);
                OutputFile _ = outputs.file(folder.resolve("undo"))) {
            assertThrows(UsageException.class, () -> outputs.file(folder.resolve("undo")));
            assertThrows(UsageException.class, () -> outputs.file(out.resolve("undo")));
            assertThrows(UsageException.class, () -> outputs.folder(out));
            merged.text("a", "");
            merged.commit();
            outputs.file(out.resolve("report.json")).close();
        }
    }

    @Test
    @DisplayName("is not committed if a file it is made from changed meanwhile")
    void torn() throws IOException {
        Outputs outputs = Outputs.apartFrom(List.of(base), false);
        outputs.madeFrom(List.of(Snapshot.of(weights)));
        try (OutputFile file = outputs.file(folder.resolve("file"))) {
            file.text("text");
            Files.writeString(weights, "other weights");
            assertThrows(FormatException.class, file::commit);
        }
        assertEquals(List.of("base"), names(folder));
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> inside = Files.list(folder)) {
            return inside.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }
}
