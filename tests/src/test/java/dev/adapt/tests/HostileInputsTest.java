package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("An input that is no regular file, leads elsewhere or is too large")
class HostileInputsTest {
    @TempDir
    private Path folder;

    private Path base = Path.of("");
    private Path tuned = Path.of("");

    @BeforeEach
    void makeInputs() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
        tuned = TinyBert.write(folder.resolve("tuned"), 2);
    }

    @Test
    @DisplayName("is refused where it is a pipe or a device, and is not waited for")
    void pipes() throws IOException, InterruptedException {
        for (String name : new String[] {"model.safetensors", "config.json", "tokenizer.json"}) {
            pipe(base.resolve(name));
        }
        Path data = pipe(folder.resolve("data.tsv"));
        fails("is a pipe or a device", "inspect", base);
        fails("is a pipe or a device", "inspect", Path.of("/dev/zero"));
        fails("is a pipe or a device", "count", "--method", "lora", "--rank", "2", "--config", base);
        fails("is a pipe or a device", "unmerge", tuned, "--undo", data, "--out", folder.resolve("out"));
        fails("is a pipe or a device", "import-onnx", data, "--out", folder.resolve("out"));
        fails(
                "is a pipe or a device",
                "train",
                "--base",
                tuned,
                "--method",
                "lora",
                "--data",
                data,
                "--eval",
                data,
                "--out",
                folder.resolve("out"));
        assertFalse(Files.exists(folder.resolve("out")));
    }

    private static Path pipe(Path path) throws IOException, InterruptedException {
        Files.deleteIfExists(path);
        assumeTrue(new ProcessBuilder("mkfifo", path.toString()).start().waitFor() == 0, "there is no mkfifo");
        return path;
    }

    @Test
    @DisplayName("is refused where it is a link from a base to a private file")
    void links() throws IOException {
        Path secret = Files.writeString(folder.resolve("id_rsa"), "secret");
        Files.createSymbolicLink(base.resolve("vocab.txt"), secret);
        Path out = folder.resolve("out");
        Path adapter = folder.resolve("adapter");
        Cli.succeeds("extract", "--from", tuned, "--base", base, "--rank", "1", "--out", adapter);
        fails("vocab.txt: is a link out of its folder", "merge", adapter, "--into", base, "--out", out);
        Files.delete(base.resolve("vocab.txt"));
        Files.move(base.resolve("tokenizer.json"), folder.resolve("tokenizer.json"));
        Files.createSymbolicLink(base.resolve("tokenizer.json"), folder.resolve("tokenizer.json"));
        fails("tokenizer.json: is a link out of its folder", "merge", adapter, "--into", base, "--out", out);
        Files.delete(base.resolve("tokenizer.json"));
        Files.createSymbolicLink(base.resolve("words"), Path.of("config.json"));
        Cli.succeeds("merge", adapter, "--into", base, "--out", out);
    }

    @Test
    @DisplayName("is refused where a config is larger than any, before it is read")
    void large() throws IOException {
        try (RandomAccessFile file =
                new RandomAccessFile(base.resolve("config.json").toFile(), "rw")) {
            file.setLength(1L << 40);
        }
        fails("more than the 16777216 that are read of a config", "inspect", base);
    }

    private static void fails(String sentence, Object... args) {
        Cli result = assertTimeoutPreemptively(Duration.ofSeconds(60), () -> Cli.run(args));
        assertTrue(result.errors().contains(sentence), result.errors());
        assertEquals(3, result.exitCode(), result.errors());
    }
}
