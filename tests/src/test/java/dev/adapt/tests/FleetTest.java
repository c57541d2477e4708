package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.adapt.formats.checkpoint.ContentDigest;
import dev.adapt.formats.checkpoint.ShardIndex;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Fleets with real worker processes. {@code -Dadapt.fleet=200} makes a fleet of 200 adapters. */
@DisplayName("A fleet")
class FleetTest {
    private static final int ADAPTERS = Integer.getInteger("adapt.fleet", 20);
    private static final int LAYERS = 4;
    private static final int WIDTH = 24;
    private static final int RANK = 2;

    @TempDir
    private Path folder;

    private Path base = Path.of("");
    private Path adapters = Path.of("");
    private Path out = Path.of("");

    @BeforeEach
    void makeInputs() throws IOException {
        base = Files.createDirectory(folder.resolve("base"));
        adapters = Files.createDirectory(folder.resolve("adapters"));
        out = folder.resolve("out");
        Random random = new Random(1);
        Map<String, FloatTensor> tensors = new TreeMap<>();
        for (int layer = 0; layer < LAYERS; layer++) {
            tensors.put("layers." + layer + ".q.weight", values(random, WIDTH, WIDTH));
            tensors.put("layers." + layer + ".k.weight", values(random, WIDTH, WIDTH));
        }
        SafetensorsWriter.write(base.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        Files.writeString(base.resolve("config.json"), "{\"model_type\": \"anything\"}");
        for (int i = 0; i < ADAPTERS; i++) {
            adapter(name(i), WIDTH, 1);
        }
    }

    private static String name(int number) {
        return String.format("adapter-%03d", number);
    }

    /** @param scale of one value of each right factor; of 1e38 the update overflows */
    private void adapter(String name, int width, float scale) throws IOException {
        Path adapter = Files.createDirectory(adapters.resolve(name));
        Random random = new Random(name.hashCode());
        Map<String, FloatTensor> parts = new TreeMap<>();
        for (int layer = 0; layer < LAYERS; layer++) {
            String key = "base_model.model.layers." + layer + ".q.";
            FloatTensor right = values(random, RANK, width);
            right.toFloats()[0] *= scale;
            parts.put(key + "lora_A.weight", right);
            parts.put(key + "lora_B.weight", values(random, WIDTH, RANK));
        }
        SafetensorsWriter.write(adapter.resolve("adapter_model.safetensors"), parts, Map.of());
        Files.writeString(
                adapter.resolve("adapter_config.json"),
                "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 200, \"target_modules\": [\"q\"]}");
    }

    private static FloatTensor values(Random random, int rows, int columns) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(Shape.of(rows, columns), values);
    }

    private Cli fleet(Object... more) {
        List<Object> args = Stream.concat(
                        Stream.of("fleet", "merge", "--base", base, "--adapters", adapters, "--out-dir", out),
                        Stream.of(more))
                .toList();
        return Cli.run(args.toArray());
    }

    /** The last line of each adapter. */
    private Map<String, JsonDocument> manifest() throws IOException {
        Path file = out.resolve("manifest.jsonl");
        Map<String, JsonDocument> lines = new TreeMap<>();
        for (String line : Files.readAllLines(file).stream().skip(1).toList()) {
            JsonDocument json = JsonDocument.parse(file, line.getBytes(StandardCharsets.UTF_8));
            lines.put(json.requireString("adapter"), json);
        }
        return lines;
    }

    private static Map<String, String> contents(Path tree) throws IOException {
        Map<String, String> contents = new TreeMap<>();
        for (Path file : FileTree.inside(tree)) {
            if (Files.isRegularFile(file)) {
                contents.put(tree.relativize(file).toString(), Sha256.hex(Files.readAllBytes(file)));
            }
        }
        return contents;
    }

    @Test
    @DisplayName("writes what single merges write, names those that fail, and goes on with what is missing")
    void mergesAndResumes() throws IOException {
        adapter("bad-large", WIDTH, 1e38f); // which only its sum with the base shows
        adapter("bad-width", WIDTH + 1, 1);
        Files.createDirectory(adapters.resolve("bad-empty"));

        Cli run = fleet("--master", "local[2]", "--chunk", 7);
        assertEquals(3, run.exitCode(), run.errors());
        assertTrue(run.output().contains(ADAPTERS + " ok, 3 failed"), run.output());
        Map<String, JsonDocument> manifest = manifest();
        assertEquals(ADAPTERS + 3, manifest.size());
        for (String bad : List.of("bad-large", "bad-width", "bad-empty")) {
            JsonDocument line = manifest.get(bad);
            assertEquals("failed", line.requireString("verdict"), bad);
            assertEquals(3, line.positive("exit_code"), bad);
            assertTrue(line.requireString("error").contains(bad.equals("bad-large") ? "layers.0" : bad), line.text());
            assertFalse(Files.exists(out.resolve(bad)), bad);
        }
        for (int i = 0; i < ADAPTERS; i++) {
            Path single = folder.resolve("single");
            Cli.succeeds("merge", adapters.resolve(name(i)), "--into", base, "--out", single);
            assertEquals(contents(single), contents(out.resolve(name(i))), name(i));
            JsonDocument line = manifest.get(name(i));
            assertEquals("ok", line.requireString("verdict"));
            ContentDigest digest = ContentDigest.of(single, tensor -> Optional.empty());
            assertEquals(digest.sha256(), line.requireString("sha256"), name(i));
            assertEquals(digest.bytes(), line.whole("bytes").orElseThrow());
            FileTree.delete(single);
        }

        Map<String, String> whole = contents(out);
        int before = lines();
        for (int i = 0; i < 5; i++) {
            FileTree.delete(out.resolve(name(3 * i)));
        }
        Cli again = fleet("--master", "local[2]", "--resume");
        assertEquals(3, again.exitCode(), again.errors());
        assertTrue(again.output().contains("5 ok, " + (ADAPTERS - 5) + " kept, 3 failed"), again.output());
        assertEquals(before + 5 + 3, lines(), "those that failed are tried again");
        Map<String, String> after = contents(out);
        whole.keySet().removeIf(name -> name.equals("manifest.jsonl") || name.startsWith(".fleet"));
        after.keySet().removeIf(name -> name.equals("manifest.jsonl") || name.startsWith(".fleet"));
        assertEquals(whole, after);
    }

    @Test
    @DisplayName("merges a base of 8 shards by shard into what a single merge writes, with index and small files")
    void mergesByShard() throws IOException {
        shardBase(8);
        for (int i = 2; i < ADAPTERS; i++) {
            FileTree.delete(adapters.resolve(name(i)));
        }
        adapter("bad-large", WIDTH, 1e38f);
        Cli run = fleet("--by-shard", "--master", "local[3]");
        assertEquals(3, run.exitCode(), run.errors());
        assertTrue(run.output().contains("2 ok, 1 failed"), run.output());
        assertTrue(manifest().get("bad-large").requireString("error").contains("overflow"), run.errors());
        assertFalse(Files.exists(out.resolve("bad-large")));
        assertEquals(List.of(), unfinished());
        for (int i = 0; i < 2; i++) {
            Path single = folder.resolve("single-" + i);
            Cli.succeeds("merge", adapters.resolve(name(i)), "--into", base, "--out", single);
            Map<String, String> expected = contents(single);
            assertEquals(10, expected.size(), "8 shards, their index and config.json");
            assertEquals(expected, contents(out.resolve(name(i))));
            assertEquals(
                    ContentDigest.of(single, tensor -> Optional.empty()).sha256(),
                    manifest().get(name(i)).requireString("sha256"));
        }
        FileTree.delete(out.resolve(name(0)));
        assertTrue(fleet("--by-shard", "--resume").output().contains("1 ok, 1 kept, 1 failed"));
        assertRefused(2, "--chunk: --by-shard merges one adapter at a time", "--resume", "--by-shard", "--chunk", 2);
    }

    /** The base's tensors dealt to so many files. */
    private void shardBase(int count) throws IOException {
        Map<String, FloatTensor> tensors = new TreeMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(base.resolve("model.safetensors"))) {
            file.tensors().forEach(tensor -> tensors.put(tensor.name(), FloatTensor.of(tensor)));
        }
        Files.delete(base.resolve("model.safetensors"));
        Map<String, String> places = new TreeMap<>();
        List<String> names = List.copyOf(tensors.keySet());
        for (int shard = 0; shard < count; shard++) {
            String file = String.format("model-%05d-of-%05d.safetensors", shard + 1, count);
            Map<String, FloatTensor> own = new TreeMap<>();
            for (int i = shard; i < names.size(); i += count) {
                own.put(names.get(i), tensors.get(names.get(i)));
                places.put(names.get(i), file);
            }
            SafetensorsWriter.write(base.resolve(file), own, Map.of("format", "pt"));
        }
        long bytes = tensors.values().stream()
                .mapToLong(tensor -> 4 * tensor.shape().elements())
                .sum();
        Files.writeString(
                base.resolve("model.safetensors.index.json"),
                ShardIndex.of(places, bytes, JsonNodeFactory.instance.objectNode())
                        .text());
    }

    /** A merge that takes long enough to kill a worker in its middle. */
    private void enlargeBase() throws IOException {
        Map<String, FloatTensor> tensors = new TreeMap<>();
        Random random = new Random(2);
        for (int layer = 0; layer < LAYERS; layer++) {
            tensors.put("layers." + layer + ".q.weight", values(random, WIDTH, WIDTH));
            tensors.put("layers." + layer + ".large.weight", values(random, 1024, 512));
        }
        FileTree.delete(base);
        Files.createDirectory(base);
        SafetensorsWriter.write(base.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
    }

    private Process start(Object... more) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "--add-modules=jdk.incubator.vector",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                "dev.adapt.cli.Adapt",
                "fleet",
                "merge"));
        command.addAll(List.of("--base", base.toString(), "--adapters", adapters.toString()));
        command.addAll(List.of("--out-dir", out.toString()));
        Stream.of(more).map(Object::toString).forEach(command::add);
        return new ProcessBuilder(command)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(folder.resolve("errors").toFile())
                .start();
    }

    /** Waits until the manifest has answers. */
    private void awaitAnswers(Process process) throws IOException {
        while (process.isAlive() && (!Files.exists(out.resolve("manifest.jsonl")) || lines() < 3)) {
            LockSupport.parkNanos(1_000_000);
        }
    }

    private List<Path> unfinished() throws IOException {
        try (Stream<Path> inside = Files.list(out)) {
            return inside.filter(path -> path.getFileName().toString().endsWith(".tmp"))
                    .toList();
        }
    }

    @Test
    @DisplayName("whose worker is killed gives its adapters to another, and leaves nothing unfinished")
    void workerIsKilled() throws IOException, InterruptedException {
        enlargeBase();
        Process process = start("--master", "local[2]", "--chunk", 2);
        awaitAnswers(process);
        ProcessHandle worker = process.children().findFirst().orElseThrow();
        worker.destroyForcibly();
        assertEquals(0, process.waitFor(), Files.readString(folder.resolve("errors")));
        Map<String, JsonDocument> manifest = manifest();
        assertEquals(ADAPTERS, manifest.size());
        assertTrue(
                manifest.values().stream().anyMatch(line -> line.positive("attempt") == 2), "nothing was tried again");
        assertEquals(List.of(), unfinished());
        Path each = folder.resolve("each");
        List<Object> args = new ArrayList<>(List.of("merge", "--each", "--into", base, "--out-dir", each));
        for (int i = 0; i < ADAPTERS; i++) {
            args.add(adapters.resolve(name(i)));
        }
        Cli.succeeds(args.toArray());
        for (int i = 0; i < ADAPTERS; i++) {
            assertEquals(contents(each.resolve(name(i))), contents(out.resolve(name(i))), name(i));
        }
    }

    @Test
    @DisplayName("that is killed leaves no worker behind after ten seconds, and can be resumed")
    void fleetIsKilled() throws IOException, InterruptedException {
        enlargeBase();
        Process process = start("--master", "local[2]", "--chunk", 2);
        awaitAnswers(process);
        List<ProcessHandle> workers = process.children().toList();
        assertFalse(workers.isEmpty());
        process.destroyForcibly();
        process.waitFor();
        long deadline = System.nanoTime() + 10_000_000_000L;
        while (workers.stream().anyMatch(ProcessHandle::isAlive) && System.nanoTime() < deadline) {
            LockSupport.parkNanos(10_000_000);
        }
        assertEquals(List.of(), workers.stream().filter(ProcessHandle::isAlive).toList());
        assertEquals(List.of(), unfinished());
        Cli resumed = fleet("--master", "local[2]", "--resume");
        assertEquals(0, resumed.exitCode(), resumed.errors());
        assertEquals(ADAPTERS, manifest().size());
        for (int i = 0; i < ADAPTERS; i++) {
            assertTrue(Files.exists(out.resolve(name(i)).resolve("model.safetensors")), name(i));
        }
    }

    @Test
    @DisplayName("refuses what it cannot go on with")
    void refuses() throws IOException {
        assertEquals(0, fleet("--master", "local[1]").exitCode());
        assertRefused(2, "exists already; give --resume", "--master", "local[1]");
        assertRefused(2, "is of another run", "--resume", "--force");
        assertRefused(2, "--master: expected local[N]", "--master", "spark://host:7077");
        assertRefused(2, "--chunk: expected at least 1", "--chunk", 0);
        Files.writeString(out.resolve("manifest.jsonl"), "{\"adapter\"", StandardOpenOption.APPEND);
        assertEquals(0, fleet("--resume").exitCode(), "an unfinished last line is dropped");
        Files.writeString(out.resolve("manifest.jsonl"), "{}\n", StandardOpenOption.APPEND);
        assertRefused(3, "line " + (ADAPTERS + 2) + ": verdict: expected a text", "--resume");
        Path list =
                Files.writeString(folder.resolve("list"), "adapters/adapter-000\nadapters/../adapters/adapter-000\n");
        Cli twice = Cli.run("fleet", "merge", "--base", base, "--adapters", list, "--out-dir", folder.resolve("other"));
        assertEquals(2, twice.exitCode());
        assertTrue(twice.errors().contains("two adapters are called adapter-000"), twice.errors());
    }

    private void assertRefused(int exitCode, String message, Object... options) {
        Cli run = fleet(options);
        assertEquals(exitCode, run.exitCode(), run.errors());
        assertTrue(run.errors().contains(message), run.errors());
    }

    @Test
    @DisplayName("speaks in lines: a worker answers for each adapter and ends with its input")
    void worker() throws IOException, InterruptedException {
        Process worker = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--add-modules=jdk.incubator.vector",
                        "-cp",
                        System.getProperty("java.class.path"),
                        "dev.adapt.cli.Adapt",
                        "work")
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        String item = "{\"adapter\": \"%1$s\", \"path\": \"" + adapters + "/%1$s\", \"out\": \"" + out + "/%1$s\"}";
        String task =
                "{\"task\": \"merge\", \"base\": \"" + base + "\", \"threads\": 1, \"attempt\": 1, \"items\": [%s]}\n";
        try (Writer tasks = worker.outputWriter(StandardCharsets.UTF_8)) {
            tasks.write(task.formatted(item.formatted(name(0)) + ", " + item.formatted(name(1))));
            tasks.write(task.formatted(item.formatted("missing")));
        }
        List<JsonDocument> answers;
        try (BufferedReader lines = worker.inputReader(StandardCharsets.UTF_8)) {
            answers = lines.lines()
                    .map(line -> JsonDocument.parse(folder, line.getBytes(StandardCharsets.UTF_8)))
                    .toList();
        }
        assertEquals(0, worker.waitFor());
        assertEquals(
                List.of("adapter-000 ok", "adapter-001 ok", "missing failed"),
                answers.stream()
                        .map(line -> line.requireString("adapter") + " " + line.requireString("verdict"))
                        .toList());
    }

    private int lines() throws IOException {
        return Files.readAllLines(out.resolve("manifest.jsonl")).size();
    }
}
