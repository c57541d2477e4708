package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Real processes of each command that writes, killed or asked to end; CrashTest kills merges into large bases.
 * {@code -Dadapt.kills=50} kills each 50 times.
 */
@DisplayName("A command that is killed")
class KilledCommandsTest {
    private static final int KILLS = Integer.getInteger("adapt.kills", 2);
    private static final Pattern TEMPORARY = Pattern.compile("(^|/)\\.[^/]+\\.tmp(/|$)");
    private static final String CONFIG = """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
             "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 2000,
             "max_position_embeddings": 32, "rms_norm_eps": 1e-6, "tie_word_embeddings": false}
            """;

    @TempDir
    private static Path folder;

    private static Path in = Path.of("");
    private static Path out = Path.of("");

    @BeforeAll
    static void makeInputs() throws IOException {
        in = Files.createDirectory(folder.resolve("in"));
        out = folder.resolve("out");
        llama("base", 1);
        llama("tuned", 2);
        adapter("lora", 3);
        adapter("other", 4);
        TinyBert.write(in.resolve("bert"), 5);
        Files.writeString(in.resolve("data.tsv"), "good\tmovie\ngood\ta movie\nbad\tbook\nbad\tthe book\n".repeat(20));
        succeeds("merge", "lora", "--into", "base", "--out", "merged", "--undo", "undo");
        succeeds("export-gguf", "base", "--out", "base.gguf");
        succeeds("export-onnx", "bert", "--self-contained", "--out", "bert.onnx");
    }

    private static void succeeds(String... words) {
        Cli.succeeds(Stream.of(words)
                .map(word -> word.startsWith("-") || word.contains("export") || word.equals("merge")
                        ? word
                        : in.resolve(word).toString())
                .toArray());
    }

    private static void llama(String name, long seed) throws IOException {
        Path base = Files.createDirectory(in.resolve(name));
        Path config = Files.writeString(base.resolve(ModelConfig.FILE), CONFIG);
        Map<String, FloatTensor> tensors = new TreeMap<>();
        Random random = new Random(seed);
        Architectures.of(ModelConfig.read(config))
                .requiredTensors()
                .forEach((tensor, shape) -> tensors.put(tensor, values(shape, random)));
        SafetensorsWriter.write(base.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
    }

    private static void adapter(String name, long seed) throws IOException {
        Path adapter = Files.createDirectory(in.resolve(name));
        Map<String, FloatTensor> parts = new TreeMap<>();
        Random random = new Random(seed);
        for (int layer = 0; layer < 3; layer++) {
            String key = "base_model.model.model.layers." + layer + ".self_attn.q_proj.";
            parts.put(key + "lora_A.weight", values(Shape.of(8, 256), random));
            parts.put(key + "lora_B.weight", values(Shape.of(256, 8), random));
        }
        SafetensorsWriter.write(adapter.resolve("adapter_model.safetensors"), parts, Map.of());
        Files.writeString(
                adapter.resolve("adapter_config.json"),
                "{\"peft_type\": \"LORA\", \"r\": 8, \"target_modules\": [\"q_proj\"]}");
    }

    private static FloatTensor values(Shape shape, Random random) {
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.1f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            merge lora --into base --threads 1 --out OUT/merged --undo OUT/undo --report OUT/report.json
            merge lora --into base --out OUT/merged.gguf
            merge lora other --into base --each --out-dir OUT/merged
            unmerge merged --undo undo --out OUT/base
            convert lora --rank 4 --dtype bf16 --out OUT/small
            convert lora --base base --to kohya --out OUT/kohya.safetensors
            extract --from tuned --base base --target q_proj --rank 4 --out OUT/lora
            combine lora other --type cat --out OUT/both
            export-onnx base --self-contained --out OUT/model.onnx
            export-adapter lora --base base --out OUT/lora.onnx_adapter
            export-gguf base --out OUT/model.gguf
            import-gguf base.gguf --out OUT/base
            import-onnx bert.onnx --out OUT/bert
            analyze lora --base base --no-png --out OUT/analysis
            train --base bert --method lora --target query --data data.tsv --eval data.tsv --epochs 2 --out OUT/lora
            """)
    @DisplayName("leaves nothing half-written, loses nothing, and where it is asked to end leaves nothing behind")
    void leavesNoPart(String command) throws IOException, InterruptedException {
        boolean trains = command.startsWith("train");
        Map<String, String> inputs = contents(in);
        FileTree.delete(Files.createDirectories(out));
        Files.createDirectory(out);
        long[] span = span(command);
        Map<String, String> whole = contents(out);
        assertFalse(whole.isEmpty(), "it writes nothing");
        Random random = new Random(command.hashCode());
        int begun = 0;
        int finished = 0;
        int left = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            FileTree.delete(out);
            Files.createDirectory(out);
            boolean asked = kill % 2 == 1;
            kill(start(command), span, random, asked);
            Map<String, String> found = contents(out);
            String what = command + ", kill " + kill + ": " + found.keySet();
            boolean temporary =
                    found.keySet().removeIf(name -> TEMPORARY.matcher(name).find());
            assertFalse(temporary && asked, () -> "left behind by " + what);
            left += temporary ? 1 : 0;
            begun += temporary || !found.isEmpty() ? 1 : 0;
            finished += found.keySet().equals(whole.keySet()) ? 1 : 0;
            if (trains && !found.isEmpty()) {
                Adapter.read(out.resolve("lora"));
                assertEquals(whole.keySet(), found.keySet(), what);
            } else {
                assertTrue(whole.entrySet().containsAll(found.entrySet()), () -> "torn: " + what);
                assertWholeFolders(whole, found, what);
            }
        }
        assertEquals(inputs, contents(in), "an input was changed");
        System.out.printf(
                "%s: %d kills, %d had begun, %d whole, 0 torn, 0 lost, %d left a temporary after SIGKILL,"
                        + " 0 after SIGTERM%n",
                command, KILLS, begun, finished, left);
    }

    /** Of a folder all files are there, or none. */
    private static void assertWholeFolders(Map<String, String> whole, Map<String, String> found, String what) {
        for (String name : found.keySet()) {
            int end = name.lastIndexOf('/');
            String parent = end < 0 ? name : name.substring(0, end + 1);
            whole.keySet().stream()
                    .filter(other -> other.startsWith(parent))
                    .forEach(other -> assertTrue(found.containsKey(other), () -> other + " is missing: " + what));
        }
    }

    private static Process start(String command) throws IOException {
        List<String> words = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "--enable-native-access=ALL-UNNAMED",
                "-Dai.djl.offline=true",
                "-cp",
                System.getProperty("java.class.path"),
                "dev.adapt.cli.Adapt"));
        words.addAll(List.of(command.replace("OUT/", out + "/").split(" ", -1)));
        ProcessBuilder builder = new ProcessBuilder(words)
                .directory(in.toFile())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(folder.resolve("errors").toFile());
        builder.environment().put("OPT_OUT_TRACKING", "true");
        return builder.start();
    }

    /** Nanoseconds until a whole run began to write, and from then to its end. */
    private static long[] span(String command) throws IOException, InterruptedException {
        long start = System.nanoTime();
        Process process = start(command);
        awaitWriting(process);
        long begin = System.nanoTime();
        assertEquals(0, process.waitFor(), Files.readString(folder.resolve("errors")));
        return new long[] {begin - start, System.nanoTime() - begin};
    }

    private static void awaitWriting(Process process) throws IOException {
        while (process.isAlive()) {
            try (Stream<Path> inside = Files.list(out)) {
                if (inside.findAny().isPresent()) {
                    return;
                }
            }
            LockSupport.parkNanos(200_000);
        }
    }

    /** One in ten before the process writes; the others from when it begins to a little after it should end. */
    private static void kill(Process process, long[] span, Random random, boolean asked)
            throws IOException, InterruptedException {
        double moment = random.nextDouble() - 0.1;
        long wait = (long) (moment < 0 ? -10 * moment * span[0] : 1.2 * moment * span[1]);
        if (moment >= 0) {
            awaitWriting(process);
        }
        long start = System.nanoTime();
        while (process.isAlive() && System.nanoTime() - start < wait) {
            LockSupport.parkNanos(200_000);
        }
        if (asked) {
            process.destroy(); // SIGTERM
        } else {
            process.destroyForcibly(); // SIGKILL
        }
        process.waitFor();
    }

    /** Digests of all files of a tree, by their names in it. */
    private static Map<String, String> contents(Path tree) throws IOException {
        Map<String, String> contents = new TreeMap<>();
        try (Stream<Path> files = Files.walk(tree)) {
            for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                contents.put(tree.relativize(file).toString().replace('\\', '/'), Sha256.hex(Files.readAllBytes(file)));
            }
        } catch (NoSuchFileException e) {
            throw new IOException("files vanish in " + tree, e);
        }
        return contents;
    }
}
