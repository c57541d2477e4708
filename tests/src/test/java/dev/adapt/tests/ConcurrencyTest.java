package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Real merge processes, two at a time. {@code -Dadapt.rounds=20} runs each pair 20 times. */
@DisplayName("Of two merges at once")
class ConcurrencyTest {
    private static final int ROUNDS = Integer.getInteger("adapt.rounds", 2);
    private static final int WIDTH = 1024;
    private static final int LAYERS = 8;

    @TempDir
    private Path folder;

    private Path base = Path.of("");
    private Path adapter = Path.of("");
    private byte[] before = {};
    private byte[] after = {};
    private final Random random = new Random(3);

    @BeforeEach
    void makeFiles() throws IOException, InterruptedException {
        base = folder.resolve("base.safetensors");
        adapter = Files.createDirectory(folder.resolve("adapter"));
        Map<String, FloatTensor> weights = new TreeMap<>();
        Map<String, FloatTensor> parts = new TreeMap<>();
        for (int i = 0; i < LAYERS; i++) {
            weights.put("layer" + i + ".weight", values(WIDTH, WIDTH));
            parts.put("base_model.model.layer" + i + ".lora_A.weight", values(4, WIDTH));
            parts.put("base_model.model.layer" + i + ".lora_B.weight", values(WIDTH, 4));
        }
        SafetensorsWriter.write(base, weights, Dtype.BF16, Map.of());
        // it says which base it is for, and so fits only once
        Map<String, String> metadata = new TreeMap<>();
        try (Checkpoint opened = Checkpoint.open(base)) {
            opened.tensors()
                    .forEach((name, tensor) ->
                            metadata.put(Adapter.BASE_SHA256 + name.replace(".weight", ""), tensor.sha256()));
        }
        SafetensorsWriter.write(adapter.resolve("adapter_model.safetensors"), parts, metadata);
        Files.writeString(adapter.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\", \"r\": 4}");
        before = Files.readAllBytes(base);
        Path merged = folder.resolve("merged.safetensors");
        assertEquals(0, start("first", "--out", merged).exitCode());
        after = Files.readAllBytes(merged);
        assertFalse(Arrays.equals(before, after), "the merge changed nothing");
    }

    private FloatTensor values(int rows, int columns) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(Shape.of(rows, columns), values);
    }

    @Test
    @DisplayName("into one base in place, one is refused and the adapter is applied once")
    void inPlaceAgainstInPlace() throws IOException, InterruptedException {
        int told = 0;
        int late = 0;
        for (int round = 0; round < ROUNDS; round++) {
            Files.write(base, before);
            Run one = start("one", "--in-place");
            Run two = start("two", "--in-place");
            List<Integer> codes =
                    Stream.of(one.exitCode(), two.exitCode()).sorted().toList();
            assertEquals(List.of(0, 3), codes, () -> one + "\n" + two);
            Run loser = one.exitCode() == 0 ? two : one;
            boolean busy = loser.errors().contains("is being changed by process");
            assertTrue(busy || loser.errors().contains("was trained on another base"), loser.errors());
            told += busy ? 1 : 0;
            late += busy ? 0 : 1;
            assertTrue(Arrays.equals(after, Files.readAllBytes(base)), "round " + round + ": torn or applied twice");
            assertFalse(Files.exists(folder.resolve(".adapt-journal")), "a journal stayed");
        }
        System.out.printf(
                "in place against in place: %d rounds, 0 torn, 0 applied twice, 0 left behind; of the second, %d were"
                        + " told of the first, %d came after it%n",
                ROUNDS, told, late);
    }

    @Test
    @DisplayName("one that reads a base and one that changes it, the first gives a whole model or an error")
    void readerAgainstWriter() throws IOException, InterruptedException {
        int whole = 0;
        int refused = 0;
        Path out = folder.resolve("out.safetensors");
        for (int round = 0; round < ROUNDS; round++) {
            Files.write(base, before);
            Files.deleteIfExists(out);
            Run writer = start("writer", "--in-place");
            LockSupport.parkNanos(random.nextInt(300) * 1_000_000L);
            Run reader = start("reader", "--force", "--out", out);
            assertEquals(0, writer.exitCode(), writer::toString);
            if (reader.exitCode() == 0) {
                byte[] made = Files.readAllBytes(out);
                assertTrue(Arrays.equals(after, made) || isTwice(made), "round " + round + ": torn");
                whole++;
            } else {
                assertEquals(3, reader.exitCode(), reader::toString);
                String errors = reader.errors();
                assertTrue(errors.contains("has not ended") || errors.contains("was changed while"), errors);
                assertFalse(Files.exists(out));
                refused++;
            }
        }
        System.out.printf("reader against in place: %d rounds, 0 torn, %d whole, %d refused%n", ROUNDS, whole, refused);
    }

    /** What the adapter makes of the base that was changed already. */
    private boolean isTwice(byte[] made) throws IOException, InterruptedException {
        Path twice = folder.resolve("twice.safetensors");
        assertEquals(0, start("twice", "--force", "--out", twice).exitCode());
        return Arrays.equals(Files.readAllBytes(twice), made);
    }

    @ParameterizedTest
    @ValueSource(strings = {"out.safetensors", "out"})
    @DisplayName("to one output, that output is whole, one made it and the other is told")
    void writersOfOneOutput(String name) throws IOException, InterruptedException {
        int meanwhile = 0;
        Path out = folder.resolve(name);
        Path weights = name.equals("out") ? out.resolve("model.safetensors") : out;
        for (int round = 0; round < ROUNDS; round++) {
            if (Files.exists(out)) {
                FileTree.delete(out);
            }
            Run one = start("one", "--out", out);
            Run two = start("two", "--out", out);
            List<Integer> codes =
                    Stream.of(one.exitCode(), two.exitCode()).sorted().toList();
            assertEquals(0, codes.getFirst(), () -> one + "\n" + two);
            Run loser = one.exitCode() == 0 ? two : one;
            assertTrue(List.of(2, 3).contains(loser.exitCode()), () -> one + "\n" + two);
            meanwhile += loser.errors().contains("meanwhile") ? 1 : 0;
            assertTrue(loser.errors().contains(out.toString()), loser::toString);
            assertWhole(weights, round);
        }
        System.out.printf(
                "two to one output, %s: %d rounds, 0 torn, 0 lost, 0 left behind; of the second, %d were told of the"
                        + " first at the end, %d at the beginning%n",
                name, ROUNDS, meanwhile, ROUNDS - meanwhile);
    }

    @ParameterizedTest
    @ValueSource(strings = {"out.safetensors", "out"})
    @DisplayName("that both replace one output, it is whole and at least one made it")
    void replacersOfOneOutput(String name) throws IOException, InterruptedException {
        int both = 0;
        Path out = folder.resolve(name);
        Path weights = name.equals("out") ? out.resolve("model.safetensors") : out;
        assertEquals(0, start("first", "--overwrite", "--out", out).exitCode());
        for (int round = 0; round < ROUNDS; round++) {
            Run one = start("one", "--overwrite", "--out", out);
            Run two = start("two", "--overwrite", "--out", out);
            assertTrue(one.exitCode() == 0 || two.exitCode() == 0, () -> one + "\n" + two);
            Run other = one.exitCode() == 0 ? two : one;
            assertTrue(List.of(0, 2, 3).contains(other.exitCode()), other::toString);
            both += one.exitCode() == two.exitCode() ? 1 : 0;
            assertWhole(weights, round);
        }
        System.out.printf(
                "two that replace one output, %s: %d rounds, 0 torn, 0 left behind; one after the other in %d%n",
                name, ROUNDS, both);
    }

    private void assertWhole(Path weights, int round) throws IOException {
        assertTrue(Arrays.equals(after, Files.readAllBytes(weights)), "round " + round + ": torn");
        try (Stream<Path> left = Files.list(folder)) {
            assertTrue(left.noneMatch(path -> path.toString().endsWith(".tmp")), "a temporary file stayed");
        }
    }

    /** A merge that runs; asking for its exit code waits for it. */
    private record Run(Process process, Path log) {
        int exitCode() throws InterruptedException {
            return process.waitFor();
        }

        String errors() throws IOException {
            return Files.readString(log);
        }

        @Override
        public String toString() {
            try {
                return exitCode() + ": " + errors();
            } catch (IOException | InterruptedException e) {
                return e.toString();
            }
        }
    }

    private Run start(String name, Object... options) throws IOException {
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
        Stream.of(options).map(Object::toString).forEach(command::add);
        Path log = folder.resolve(name + ".log");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        return new Run(process, log);
    }
}
