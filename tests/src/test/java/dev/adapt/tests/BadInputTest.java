package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Bad input ends in one sentence, the right exit code, and nothing half-written")
class BadInputTest {
    private static final String DATA = "good\tmovie\ngood\ta movie\nbad\tbook\nbad\tthe book\n";

    @TempDir
    private static Path folder;

    private static Path base;
    private static Path data;

    @BeforeAll
    static void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
        data = Files.writeString(folder.resolve("data.tsv"), DATA);
    }

    @Test
    @DisplayName("no such file")
    void noSuchFile() {
        assertFails(3, "nowhere: no such file", "inspect", folder.resolve("nowhere"));
        assertFails(3, "nowhere: no such file", "merge", folder.resolve("nowhere"), "--into", base, "--out", out());
    }

    @Test
    @DisplayName("not a safetensors file, and a truncated one")
    void notSafetensors() throws IOException {
        Path text = Files.writeString(folder.resolve("text.safetensors"), "this is plain text, not tensors");
        assertFails(3, "is not a safetensors file", "inspect", text);
        byte[] whole = Files.readAllBytes(base.resolve("model.safetensors"));
        Path half = Files.write(folder.resolve("half.safetensors"), Arrays.copyOf(whole, whole.length / 2));
        assertFails(3, "is truncated", "inspect", half);
    }

    @Test
    @DisplayName("a target that matches nothing lists near matches")
    void unknownTarget() {
        assertFails(3, "no module is called \"qery\"; near matches: query", train("--target", "qery"));
    }

    @Test
    @DisplayName("a rank of 0, and one above the matrix")
    void impossibleRank() {
        assertFails(2, "rank", train("--target", "query", "--rank", "0"));
        assertFails(2, "rank", train("--target", "query", "--rank", "17"));
    }

    @Test
    @DisplayName("an empty line, an unknown label in the dev set, a broken UTF-8 byte: each with its line")
    void badData() throws IOException {
        Path gap = Files.writeString(folder.resolve("gap.tsv"), "good\tmovie\n\nbad\tbook\n");
        assertFails(3, "gap.tsv: line 2", train("--target", "query", "--data", gap));
        Path unknown = Files.writeString(folder.resolve("unknown.tsv"), "good\tmovie\nfine\tbook\n");
        assertFails(3, "unknown.tsv: line 2", train("--target", "query", "--eval", unknown));
        byte[] bytes = DATA.getBytes(StandardCharsets.UTF_8);
        bytes["good\tmovie\n".length() + 2] = (byte) 0xff;
        Path broken = Files.write(folder.resolve("broken.tsv"), bytes);
        assertFails(3, "broken.tsv: line 2", train("--target", "query", "--data", broken));
    }

    @Test
    @DisplayName("a shard's size that is none")
    void badSize() {
        Object[] merge = {"merge", folder.resolve("adapter"), "--into", base, "--out", out(), "--max-shard-size", "5XB"
        };
        assertFails(2, "--max-shard-size: expected a size such as 5GB, 500MB or 2GiB, found 5XB", merge);
    }

    @Test
    @DisplayName("a missing column")
    void missingColumn() {
        assertFails(3, "data.tsv: line 1", train("--target", "query", "--label-column", "7"));
    }

    private static Object[] train(Object... more) {
        Object[] fixed = {
            "train", "--base", base, "--method", "lora", "--task", "classification", "--out", out(), "--epochs", "1"
        };
        Stream<Object> defaults = Stream.of();
        for (Object[] option : new Object[][] {{"--rank", "2"}, {"--data", data}, {"--eval", data}}) {
            if (Stream.of(more).noneMatch(option[0]::equals)) {
                defaults = Stream.concat(defaults, Stream.of(option));
            }
        }
        return Stream.of(Stream.of(fixed), Stream.of(more), defaults)
                .flatMap(words -> words)
                .toArray();
    }

    private static Path out() {
        return folder.resolve("out");
    }

    private static void assertFails(int exitCode, String sentence, Object... args) {
        Cli result = Cli.run(args);
        assertTrue(result.errors().contains(sentence), result.errors());
        assertEquals(exitCode, result.exitCode(), result.errors());
        String last = result.errors().strip().lines().reduce("", (first, second) -> second);
        assertTrue(last.startsWith("adapt: "), result.errors());
        assertFalse(Files.exists(out()), "something was written");
        try (Stream<Path> left = Files.list(folder)) {
            assertTrue(left.noneMatch(path -> path.toString().endsWith(".tmp")), "a temporary file stayed");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
