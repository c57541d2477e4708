package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("What analyze, count and tables tell")
class AnalyzeTest {
    private static final List<String> NAMES = List.of("query", "value");

    @TempDir
    private Path folder;

    private Path out;

    @BeforeEach
    void place() {
        out = folder.resolve("analysis");
    }

    @Test
    @DisplayName(
            "the layers of a CondLoRA adapter are converted by one pair of matrices, those of a LoRA adapter are not")
    void conversions() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        Cli.succeeds("analyze", adapter(base, new CondLora(2, 4, 0), NAMES, 1), "--base", base, "--out", out);
        for (JsonNode stack : json(out).path("stacks")) {
            assertEquals(2, stack.path("directions").asInt());
            assertEquals(1, stack.path("w0_to_a").path("mean_without_diagonal").asDouble(), 1e-6);
            assertEquals(1, stack.path("w0_to_b").path("mean_without_diagonal").asDouble(), 1e-6);
        }
        Path other = folder.resolve("other");
        Cli.succeeds("analyze", adapter(base, new Lora(2, 4, 0), NAMES, 2), "--base", base, "--out", other);
        for (JsonNode stack : json(other).path("stacks")) {
            assertTrue(stack.path("w0_to_a").path("mean_without_diagonal").asDouble() < 0.9);
            assertEquals(
                    1, stack.path("w0_to_a").path("similarity").path(1).path(1).asDouble(), 1e-9);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = TinyModel.class,
            names = {"GPT2", "LLAMA", "VIT"})
    @DisplayName("every architecture's weights convert, whichever way they are stored and whatever their shape")
    void everyShape(TinyModel model) throws IOException {
        Path base = model.write(folder.resolve("base"), 1);
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            List<String> all = Architectures.of(ModelConfig.of(checkpoint)).linearModules();
            List<String> body =
                    all.stream().filter(module -> module.matches(".*\\d.*")).toList();
            Cli.succeeds(
                    "analyze", adapter(base, new CondLora(2, 4, 0), body, 3), "--base", base, "--no-png", "--out", out);
        }
        for (JsonNode stack : json(out).path("stacks")) {
            // of a tall weight's θ_A, and a wide one's θ_B, the pseudo-inverse keeps what the weight can see
            assertTrue(stack.path("w0_to_a").path("mean_without_diagonal").asDouble() > 0.05, stack.toString());
            assertTrue(stack.path("w0_to_b").path("mean_without_diagonal").asDouble() > 0.05, stack.toString());
        }
    }

    @Test
    @DisplayName("two adapters are alike as far as their factors span the same, and an adapter is like itself")
    void likeness() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        Path one = adapter(base, new Lora(2, 4, 0), NAMES, 1);
        Path two = adapter(base, new CondLora(3, 4, 0), NAMES, 2);
        Cli.succeeds("analyze", one, one, "--base", base, "--out", out);
        for (String part : List.of("a", "b", "delta")) {
            assertEquals(1, json(out).path("likeness_mean").path(part).asDouble(), 1e-9);
        }
        Path other = folder.resolve("other");
        Cli.succeeds("analyze", one, two, "--base", base, "--directions", "2", "--out", other);
        assertEquals(4, json(other).path("likeness").size());
        assertTrue(json(other).path("likeness_mean").path("delta").asDouble() < 0.9);
        assertTrue(Files.readString(other.resolve("report.html")).contains("How alike the two adapters are"));
    }

    @Test
    @DisplayName("each map is an SVG that stands alone and a PNG, and the report needs nothing else")
    void files() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        Cli.succeeds("analyze", adapter(base, new Lora(2, 4, 0), NAMES, 1), "--base", base, "--out", out);
        String name = "encoder.layer.attention.self.query.A";
        assertTrue(Files.readString(out.resolve(name + ".svg")).contains("xmlns=\"http://www.w3.org/2000/svg\""));
        BufferedImage image = ImageIO.read(out.resolve(name + ".random.png").toFile());
        assertTrue(image.getWidth() > 400 && image.getHeight() > 400);
        String page = Files.readString(out.resolve("report.html"));
        assertFalse(page.contains("{{") || page.contains("src=") || page.contains("href="), "not all is in it");
    }

    @Test
    @DisplayName("what cannot be analysed ends in a sentence")
    void misuse() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        Path lora = adapter(base, new Lora(2, 4, 0), NAMES, 1);
        fails(2, "--directions: expected 1 to 2", "analyze", lora, "--base", base, "--directions", "3", "--out", out);
        Path single = adapter(base, new Lora(2, 4, 0), List.of("encoder.layer.0.attention.self.query"), 1);
        fails(3, "adapts no two layers of one kind", "analyze", single, "--base", base, "--out", out);
        fails(2, "--rank: expected at least 1", "count", "--method", "lora", "--rank", "0", "--config", base);
        fails(3, "near matches: query", "count", "--method=lora", "--rank=2", "--target=qury", "--config", base);
    }

    @Test
    @DisplayName("what is counted from the config is what training would begin with")
    void counts() throws IOException {
        for (TinyModel model : List.of(TinyModel.BERT, TinyModel.GPT2, TinyModel.LLAMA, TinyModel.VIT)) {
            Path base = model.write(folder.resolve(model.name()), 1);
            Cli counted = Cli.run("count", "--method", "lora,vera,condlora", "--rank", "3", "--config", base, "--json");
            assertEquals(0, counted.exitCode(), counted.errors());
            JsonNode rows = new JsonMapper().readTree(counted.output()).path("counts");
            List<AdapterMethod> methods = List.of(new Lora(3, 6, 0), new CondLora(3, 6, 0));
            for (int i = 0; i < methods.size(); i++) {
                assertEquals(
                        fresh(base, methods.get(i)).trainedParameters(),
                        rows.path(2 * i).path("trained_parameters").asLong());
            }
        }
    }

    @Test
    @DisplayName("the papers' tables come out as printed, but for the figures that are marked and explained")
    void tables() {
        Cli tables = Cli.run("tables");
        assertEquals(0, tables.exitCode(), tables.errors());
        List<String> lines = tables.output().lines().toList();
        assertTrue(lines.stream().anyMatch(line -> line.matches("LoRA +294,912 +294,912")), tables.output());
        assertTrue(lines.stream().anyMatch(line -> line.matches("CondLoRA +24,576 +24,576")), tables.output());
        assertTrue(lines.stream().anyMatch(line -> line.matches("RoBERTa base +256 .*24\\.58K +24\\.5K .*96KB")));
        assertTrue(lines.stream().anyMatch(line -> line.matches("not shared +8\\.389M +8\\.39M +2\\.105M +2\\.10M")));
        assertTrue(lines.stream().anyMatch(line -> line.matches("LORS, rank 4 +1\\.530M +1\\.53M +0\\.360M +0\\.36M")));
        assertTrue(lines.stream()
                .anyMatch(line -> line.matches("LORS, rank 32 +2\\.455M +2\\.46M \\[1\\] +0\\.886M +0\\.89M")));
        long marked = lines.stream()
                .filter(line -> line.matches("(RoBERTa|GPT|LORS|not).*"))
                .flatMap(line -> line.chars().filter(c -> c == '[').boxed())
                .count();
        assertEquals(8, marked, tables.output());
        assertEquals(4, lines.stream().filter(line -> line.startsWith("[")).count());
    }

    private Path adapter(Path base, AdapterMethod method, List<String> names, long seed) throws IOException {
        Path written = Files.createTempDirectory(folder, "adapter");
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            List<Target> targets = binding.targets(names, Architectures.of(ModelConfig.of(checkpoint)));
            Random random = new Random(seed);
            BoundAdapter fresh = BoundAdapter.fresh(
                    method, targets, binding::weight, Map.of(), Optional.empty(), binding.digests(targets), random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            for (String key : fresh.trainedKeys()) {
                Tensor before = Objects.requireNonNull(fresh.tensors().get(key));
                float[] values = new float[Math.toIntExact(before.shape().elements())];
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) random.nextGaussian();
                }
                trained.put(key, new FloatTensor(before.shape(), values));
            }
            fresh.with(trained, Map.of()).write(written, names, base);
        }
        return written;
    }

    private static BoundAdapter fresh(Path base, AdapterMethod method) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            Architecture architecture = Architectures.of(ModelConfig.of(checkpoint));
            List<Target> targets = binding.targets(architecture.usualTargets(), architecture);
            return BoundAdapter.fresh(
                    method, targets, binding::weight, Map.of(), Optional.empty(), Map.of(), new Random(1));
        }
    }

    private static JsonNode json(Path analysis) throws IOException {
        return new JsonMapper().readTree(analysis.resolve("analysis.json").toFile());
    }

    private void fails(int exitCode, String sentence, Object... words) {
        Cli result = Cli.run(words);
        assertTrue(result.errors().contains(sentence), result.errors());
        assertEquals(exitCode, result.exitCode(), result.errors());
        assertFalse(Files.exists(out), "something was written");
    }
}
