package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("CondLoRA")
class CondLoraTest {
    private static final double TOLERANCE = 1e-6;

    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"square", "wide", "tall"})
    @DisplayName("merges what the paper's formula gives in float64, within 1e-6, from weights stored either way")
    void isThePapersFormula(String name) throws IOException {
        Path home = StoredCases.at("fixtures/condlora", folder);
        JsonNode described = new JsonMapper().readTree(home.resolve("case.json").toFile());
        try (SafetensorsFile reference = SafetensorsFile.open(home.resolve("case.safetensors"))) {
            for (boolean transposed : new boolean[] {false, true}) {
                Path base = folder.resolve(transposed + "-base.safetensors");
                Map<String, FloatTensor> weights = new LinkedHashMap<>();
                for (int layer = 0; layer < described.path("layers").asInt(); layer++) {
                    FloatTensor weight = tensor(reference, name + "." + layer + ".W0");
                    weights.put("h." + layer + ".attn.q.weight", transposed ? weight.transposed() : weight);
                }
                SafetensorsWriter.write(base, weights, Map.of());
                Path adapter = adapter(name + transposed, described.path(name), transposed, reference, name);
                Path merged = folder.resolve(transposed + "-merged.safetensors");
                assertEquals(
                        0,
                        Cli.run("merge", adapter, "--into", base, "--out", merged)
                                .exitCode());
                compare(reference, name, base, merged, transposed);
            }
        }
    }

    private Path adapter(
            String folderName, JsonNode described, boolean transposed, SafetensorsFile reference, String name)
            throws IOException {
        Path adapter = Files.createDirectory(folder.resolve(folderName));
        Map<String, FloatTensor> thetas = new LinkedHashMap<>();
        String key = "base_model.model.h.*.attn.q.condlora_theta_";
        thetas.put(key + "A", tensor(reference, name + ".theta_A"));
        thetas.put(key + "B", tensor(reference, name + ".theta_B"));
        SafetensorsWriter.write(adapter.resolve(Adapter.FILE), thetas, Map.of());
        Files.writeString(adapter.resolve(AdapterConfig.FILE), """
                {"peft_type": "CONDLORA", "r": %d, "condlora_alpha": %d, "target_modules": ["q"], "fan_in_fan_out": %b}
                """.formatted(
                        described.path("r").asInt(), described.path("alpha").asInt(), transposed));
        return adapter;
    }

    private static void compare(SafetensorsFile reference, String name, Path base, Path merged, boolean transposed)
            throws IOException {
        try (SafetensorsFile before = SafetensorsFile.open(base);
                SafetensorsFile after = SafetensorsFile.open(merged)) {
            double largest = 0;
            double delta = 0;
            for (int layer = 0; layer < after.tensors().size(); layer++) {
                String tensor = "h." + layer + ".attn.q.weight";
                FloatTensor own = tensor(after, tensor);
                float[] found = (transposed ? own.transposed() : own).values();
                FloatTensor weight = tensor(before, tensor);
                float[] frozen = (transposed ? weight.transposed() : weight).values();
                double[] whole = doubles(reference, name + "." + layer + ".merged");
                double[] update = doubles(reference, name + "." + layer + ".delta");
                for (int i = 0; i < found.length; i++) {
                    largest = Math.max(largest, Math.abs(found[i] - whole[i]));
                    delta = Math.max(delta, Math.abs((double) found[i] - frozen[i] - update[i]));
                }
            }
            System.out.printf(
                    Locale.ROOT,
                    "condlora %-6s stored [%s], %d layers: merged differs by %.1e, delta by %.1e%n",
                    name,
                    transposed ? "in, out" : "out, in",
                    after.tensors().size(),
                    largest,
                    delta);
            assertTrue(largest <= TOLERANCE, "merged differs by " + largest);
            assertTrue(delta <= TOLERANCE, "delta differs by " + delta);
        }
    }

    private static FloatTensor tensor(SafetensorsFile file, String name) {
        return new FloatTensor(file.tensor(name).shape(), file.tensor(name).toFloats());
    }

    private static double[] doubles(SafetensorsFile file, String name) {
        float[] rounded = file.tensor(name).toFloats();
        double[] values = new double[rounded.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = rounded[i];
        }
        return values;
    }

    @ParameterizedTest
    @CsvSource({"2", "12", "48"})
    @DisplayName("has a file whose size does not grow with depth, and says how many layers it adapts")
    void doesNotGrow(int layers) throws IOException {
        Path base = base(layers, Map.of());
        Path adapter = write(base, List.of("q"), 2);
        try (SafetensorsFile file = SafetensorsFile.open(adapter.resolve(Adapter.FILE))) {
            assertEquals(2, file.tensors().size());
            assertEquals("[" + layers + ", 6, 6]", file.metadata().get("adapt.base.shape.m.h.*.q"));
            assertEquals(3, file.metadata().size(), file.metadata().toString());
        }
        Cli inspected = Cli.run("inspect", adapter);
        assertEquals(0, inspected.exitCode(), inspected.errors());
    }

    @Test
    @DisplayName("adapts those layers of its stack that the config names")
    void followsTheConfig() throws IOException {
        Path base = base(4, Map.of());
        Path adapter = write(base, List.of("q"), 2);
        Path config = adapter.resolve(AdapterConfig.FILE);
        String all = Files.readString(config);
        String some = all.replaceFirst("\"layers_to_transform\" : null", "\"layers_to_transform\" : [1, 3]");
        assertTrue(!some.equals(all));
        Files.writeString(config, some);
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            BoundAdapter bound = new Binding(checkpoint).bind(Adapter.read(adapter), true);
            assertEquals(
                    List.of("m.h.1.q", "m.h.3.q"),
                    bound.targets().stream().map(Target::module).sorted().toList());
        }
    }

    @Test
    @DisplayName("names the layers whose shapes differ from the others' of their stack")
    void namesLayersThatDiffer() throws IOException {
        Path adapter = write(base(4, Map.of()), List.of("q"), 2);
        Path other = base(4, Map.of(1, Shape.of(6, 5), 3, Shape.of(4, 6)));
        Path out = folder.resolve("out.safetensors");
        Cli refused = Cli.run("merge", adapter, "--into", other, "--force", "--out", out);
        assertEquals(3, refused.exitCode());
        assertTrue(
                refused.errors()
                        .contains(
                                "m.h.0.q.weight: has shape [6, 6] and other layers of m.h.*.q differ: m.h.1.q.weight [6, 5],"
                                        + " m.h.3.q.weight [4, 6]"),
                refused.errors());
        assertTrue(Files.notExists(out));
    }

    @Test
    @DisplayName("needs its base to become LoRA")
    void needsItsBase() throws IOException {
        Path adapter = write(base(2, Map.of()), List.of("q"), 2);
        Path out = folder.resolve("out");
        Cli refused = Cli.run("convert", adapter, "--to", "lora", "--out", out);
        assertEquals(3, refused.exitCode());
        assertTrue(refused.errors().contains("give it with --base"), refused.errors());
        assertTrue(Files.notExists(out));
    }

    /** Layers m.h.0.q to m.h.n.q of 6 × 6, but for those of other shapes. */
    private Path base(int layers, Map<Integer, Shape> others) throws IOException {
        Path base = folder.resolve("base-" + layers + "-" + others.size() + ".safetensors");
        Map<String, FloatTensor> weights = new LinkedHashMap<>();
        Random random = new Random(layers);
        for (int layer = 0; layer < layers; layer++) {
            weights.put("m.h." + layer + ".q.weight", random(others.getOrDefault(layer, Shape.of(6, 6)), random));
        }
        SafetensorsWriter.write(base, weights, Map.of());
        return base;
    }

    private Path write(Path base, List<String> names, int rank) throws IOException {
        Path adapter = Files.createTempDirectory(folder, "adapter");
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            List<Target> targets = new ArrayList<>();
            binding.matrixModules()
                    .keySet()
                    .forEach(module -> targets.add(binding.layer(module).orElseThrow()));
            Random random = new Random(1);
            BoundAdapter fresh = BoundAdapter.fresh(
                    new CondLora(rank, 4, 0),
                    targets,
                    binding::weight,
                    Map.of(),
                    Optional.empty(),
                    binding.digests(targets),
                    random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            fresh.trainedKeys()
                    .forEach(key ->
                            trained.put(key, random(fresh.tensors().get(key).shape(), random)));
            fresh.with(trained, Map.of()).write(adapter, names, base);
        }
        return adapter;
    }

    private static FloatTensor random(Shape shape, Random random) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }
}
