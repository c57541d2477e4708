package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.checkpoint.UnfinishedChangeException;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Real merge processes that are killed, or find the disk full. {@code -Dadapt.kills=50} kills each kind 50 times. */
@DisplayName("A merge that is killed")
class CrashTest {
    private static final int KILLS = Integer.getInteger("adapt.kills", 3);
    private static final int WIDTH = 1024;
    private static final int LAYERS = 8;
    private static final List<String> SHARDS =
            List.of("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");

    @TempDir
    private Path folder;

    private Path pristine = Path.of("");
    private Path adapter = Path.of("");

    @BeforeEach
    void makeFiles() throws IOException {
        pristine = Files.createDirectory(folder.resolve("pristine"));
        adapter = Files.createDirectory(folder.resolve("adapter"));
        float[] values = values(WIDTH * WIDTH);
        Map<String, FloatTensor> parts = new TreeMap<>();
        StringBuilder index = new StringBuilder();
        for (int shard = 0; shard < SHARDS.size(); shard++) {
            Map<String, FloatTensor> weights = new TreeMap<>();
            for (int i = 0; i < LAYERS; i++) {
                String name = "layer." + (shard * LAYERS + i);
                weights.put(name + ".weight", new FloatTensor(Shape.of(WIDTH, WIDTH), values));
                weights.put(name + ".kept", new FloatTensor(Shape.of(WIDTH), values(WIDTH)));
                for (String tensor : List.of(".weight", ".kept")) {
                    index.append(index.isEmpty() ? "" : ", ")
                            .append("\"%s\": \"%s\"".formatted(name + tensor, SHARDS.get(shard)));
                }
                String key = "base_model.model." + name;
                parts.put(key + ".lora_A.weight", new FloatTensor(Shape.of(4, WIDTH), values(4 * WIDTH)));
                parts.put(key + ".lora_B.weight", new FloatTensor(Shape.of(WIDTH, 4), values(WIDTH * 4)));
            }
            SafetensorsWriter.write(pristine.resolve(SHARDS.get(shard)), weights, Dtype.BF16, Map.of());
        }
        Files.writeString(pristine.resolve(Checkpoint.INDEX), "{\"weight_map\": {" + index + "}}");
        SafetensorsWriter.write(adapter.resolve("adapter_model.safetensors"), parts, Map.of());
        Files.writeString(adapter.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\", \"r\": 4}");
    }

    private static float[] values(int count) {
        Random random = new Random(count);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    @Test
    @DisplayName("leaves nothing under the final name that is not whole")
    void leavesNoPart() throws IOException, InterruptedException {
        Path out = folder.resolve("out/merged");
        Files.createDirectory(folder.resolve("out"));
        List<String> merge = merge(pristine, "--out", out.toString());
        Span span = span(merge, () -> isBeside(out));
        Map<String, byte[]> merged = contents(out);
        FileTree.delete(out);
        Random random = new Random(1);
        int whole = 0;
        int begun = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            kill(merge, span, () -> isBeside(out), random);
            begun += isBeside(out) ? 1 : 0;
            if (Files.exists(out)) {
                assertSame(merged, contents(out), "kill " + kill);
                whole++;
            }
            FileTree.delete(folder.resolve("out"));
            Files.createDirectory(folder.resolve("out"));
        }
        System.out.printf(
                "%d merges killed: %d had written a part, %d were whole, none was broken%n", KILLS, begun, whole);
    }

    @Test
    @DisplayName("by a signal that asks it to end leaves nothing behind")
    void endsInOrder() throws IOException, InterruptedException {
        Path out = Files.createDirectory(folder.resolve("out")).resolve("merged");
        List<String> merge = merge(pristine, "--out", out.toString(), "--undo", out + ".undo");
        Random random = new Random(3);
        int whole = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            Process process = start(merge);
            while (process.isAlive() && !isBeside(out)) {
                LockSupport.parkNanos(200_000);
            }
            await(process, random.nextInt(200_000_000));
            process.destroy(); // SIGTERM
            process.waitFor();
            List<String> left = names(folder.resolve("out"));
            assertTrue(
                    left.stream().allMatch(List.of("merged", "merged.undo")::contains), "kill " + kill + ": " + left);
            whole += Files.exists(out) ? 1 : 0;
            FileTree.delete(folder.resolve("out"));
            Files.createDirectory(folder.resolve("out"));
        }
        System.out.printf("%d merges asked to end: %d were whole, none left a part%n", KILLS, whole);
    }

    private static boolean isBeside(Path out) {
        try (Stream<Path> beside = Files.list(out.resolveSibling("."))) {
            return beside.anyMatch(path -> path.toString().endsWith(".tmp"));
        } catch (IOException e) {
            return false;
        }
    }

    @Test
    @DisplayName("in place, leaves the base or what it was to become, bit for bit")
    void isTakenBack() throws IOException, InterruptedException {
        Path base = folder.resolve("base");
        copy(pristine, base);
        Path journal = base.resolve(PatchJournal.FILE);
        List<String> merge = merge(base, "--in-place");
        Span span = span(merge, () -> Files.exists(journal));
        Map<String, byte[]> before = contents(pristine);
        Map<String, byte[]> after = contents(base);
        assertFalse(same(before, after), "the merge changed nothing");
        copy(pristine, base);
        Random random = new Random(2);
        int merged = 0;
        int journals = 0;
        int torn = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            kill(merge, span, () -> Files.exists(journal), random);
            journals += Files.exists(journal) ? 1 : 0;
            Map<String, byte[]> found = weights(base);
            torn += same(weights(pristine), found) || same(withoutIndex(after), found) ? 0 : 1;
            if (Files.exists(journal)) {
                assertThrows(UnfinishedChangeException.class, () -> Checkpoint.open(base), "kill " + kill);
            }
            PatchJournal.recover(base);
            Map<String, byte[]> left = contents(base);
            if (same(after, left)) {
                merged++;
                copy(pristine, base);
            } else {
                assertSame(before, left, "kill " + kill);
            }
        }
        System.out.printf(
                "%d merges in place killed: %d left a journal, %d files half changed, all came back; %d were merged%n",
                KILLS, journals, torn, merged);
    }

    @Test
    @DisplayName("for want of room says so in one sentence and leaves nothing behind")
    void findsTheDiskFull() throws IOException, InterruptedException {
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")), "there is no shell to limit the size of files with");
        Path out = Files.createDirectory(folder.resolve("out")).resolve("merged");
        Path base = folder.resolve("base");
        copy(pristine, base);
        for (List<String> merge : List.of(merge(base, "--out", out.toString()), merge(base, "--in-place"))) {
            // 8000 blocks of 512 or 1024 bytes: less than a shard, and than the journal
            List<String> limited = new ArrayList<>(List.of("/bin/sh", "-c", "ulimit -f 8000; exec \"$@\"", "sh"));
            limited.addAll(merge);
            Path log = folder.resolve("log");
            Process process = new ProcessBuilder(limited)
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            assertTrue(process.waitFor(2, TimeUnit.MINUTES), "the merge does not end");
            List<String> lines = Files.readAllLines(log).stream()
                    .filter(line -> line.startsWith("adapt: ") && !line.startsWith("adapt: note"))
                    .toList();
            assertEquals(3, process.exitValue(), () -> lines.toString());
            assertEquals(1, lines.size(), () -> lines.toString());
            assertTrue(lines.getFirst().contains("cannot be written"), lines.getFirst());
            assertFalse(lines.getFirst().contains(".tmp"), lines.getFirst());
            assertEquals(List.of(), names(out.resolveSibling(".")));
            assertSame(contents(pristine), contents(base), merge.getLast());
        }
    }

    private static List<String> names(Path parent) throws IOException {
        try (Stream<Path> inside = Files.list(parent)) {
            return inside.map(path -> path.getFileName().toString()).toList();
        }
    }

    private List<String> merge(Path base, String... options) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "--add-modules",
                "jdk.incubator.vector",
                "-cp",
                System.getProperty("java.class.path"),
                "dev.adapt.cli.Adapt",
                "merge",
                adapter.toString(),
                "--into",
                base.toString()));
        command.addAll(List.of(options));
        return command;
    }

    private static Process start(List<String> command) throws IOException {
        return new ProcessBuilder(command)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
    }

    /** How long a whole run took until it began to write, and from then to its end, in nanoseconds. */
    private record Span(long before, long writing) {}

    private interface Sign {
        boolean isThere();
    }

    private static Span span(List<String> command, Sign writing) throws IOException, InterruptedException {
        long start = System.nanoTime();
        Process process = start(command);
        long begin = 0;
        while (process.isAlive()) {
            if (begin == 0 && writing.isThere()) {
                begin = System.nanoTime() - start;
            }
            LockSupport.parkNanos(500_000);
        }
        long end = System.nanoTime() - start;
        assertEquals(0, process.waitFor());
        return new Span(begin, end - begin);
    }

    /** One in ten before the process writes; the others from when it begins to a little after it should end. */
    private static void kill(List<String> command, Span span, Sign writing, Random random)
            throws IOException, InterruptedException {
        double moment = random.nextDouble() - 0.1;
        Process process = start(command);
        if (moment < 0) {
            await(process, (long) (-10 * moment * span.before()));
        } else {
            while (process.isAlive() && !writing.isThere()) {
                LockSupport.parkNanos(200_000);
            }
            await(process, (long) (1.2 * moment * span.writing()));
        }
        process.destroyForcibly(); // SIGKILL
        process.waitFor();
    }

    private static void await(Process process, long nanos) {
        long start = System.nanoTime();
        while (process.isAlive() && System.nanoTime() - start < nanos) {
            LockSupport.parkNanos(200_000);
        }
    }

    private static Map<String, byte[]> contents(Path tree) throws IOException {
        Map<String, byte[]> contents = new TreeMap<>();
        for (String name : names(tree)) {
            contents.put(name, Files.readAllBytes(tree.resolve(name)));
        }
        return contents;
    }

    private static Map<String, byte[]> weights(Path tree) throws IOException {
        Map<String, byte[]> contents = contents(tree);
        contents.keySet().retainAll(SHARDS);
        return contents;
    }

    private static Map<String, byte[]> withoutIndex(Map<String, byte[]> contents) {
        Map<String, byte[]> weights = new TreeMap<>(contents);
        weights.keySet().retainAll(SHARDS);
        return weights;
    }

    private static boolean same(Map<String, byte[]> left, Map<String, byte[]> right) {
        return left.keySet().equals(right.keySet())
                && left.entrySet().stream()
                        .allMatch(entry -> Arrays.equals(entry.getValue(), right.get(entry.getKey())));
    }

    private static void assertSame(Map<String, byte[]> expected, Map<String, byte[]> found, String what) {
        assertEquals(expected.keySet(), found.keySet(), what);
        expected.forEach((name, bytes) -> assertArrayEquals(bytes, found.get(name), () -> what + ": " + name));
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        for (String name : names(from)) {
            Files.copy(from.resolve(name), to.resolve(name), StandardCopyOption.REPLACE_EXISTING);
        }
    }
}
