package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("An adapter in another form, extracted, or combined of several, makes the update it should")
class AdapterFormsTest {
    private static final List<String> TYPES = List.of(
            "linear",
            "cat",
            "svd",
            "ties",
            "ties_svd",
            "dare_linear",
            "dare_ties",
            "dare_linear_svd",
            "dare_ties_svd",
            "magnitude_prune",
            "magnitude_prune_svd");

    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource(
            value = TinyModel.class,
            names = {"BERT", "GPT2", "LLAMA", "VIT"})
    @DisplayName(
            "VeRA and CondLoRA as LoRA merge to the same model, and so does LoRA by way of kohya's keys, bit for bit")
    void forms(TinyModel model) throws IOException {
        Path base = model.write(folder.resolve("base"), 1);
        Path vera = adapter(base, new Vera(5, 0.1, 7, 0, false, Rounding.FMA), "vera");
        Cli.succeeds("convert", vera, "--to", "lora", "--out", folder.resolve("as-lora"));
        assertTrue(difference(merged(vera, base), merged(folder.resolve("as-lora"), base)) < 1e-6);

        Cli.succeeds("convert", vera, "--save-projection", "--out", folder.resolve("saved"));
        assertTrue(Files.size(file(folder.resolve("saved"))) > Files.size(file(vera)));
        Cli.succeeds("convert", folder.resolve("saved"), "--no-projection", "--out", folder.resolve("seed"));
        assertEquals(0, difference(merged(vera, base), merged(folder.resolve("seed"), base)));

        Path shared = adapter(base, new CondLora(2, 3, 0), "condlora");
        Cli.succeeds("convert", shared, "--base", base, "--to", "lora", "--out", folder.resolve("shared-as-lora"));
        assertTrue(difference(merged(shared, base), merged(folder.resolve("shared-as-lora"), base)) < 1e-6);

        Path lora = adapter(base, new Lora(3, 5, 0), "lora");
        Cli.succeeds("convert", lora, "--to", "kohya", "--out", folder.resolve("k.safetensors"));
        Cli.succeeds("convert", folder.resolve("k.safetensors"), "--base", base, "--out", folder.resolve("back"));
        assertEquals(0, difference(merged(lora, base), merged(folder.resolve("back"), base)));
    }

    @ParameterizedTest
    @EnumSource(
            value = TinyModel.class,
            names = {"BERT", "GPT2", "LLAMA", "VIT"})
    @DisplayName("what was merged is extracted again at its rank")
    void extraction(TinyModel model) throws IOException {
        Path base = model.write(folder.resolve("base"), 2);
        Path tuned = merged(adapter(base, new Lora(3, 5, 0), "lora"), base);
        Cli.succeeds("extract", "--from", tuned, "--base", base, "--rank", "3", "--out", folder.resolve("found"));
        assertTrue(difference(tuned, merged(folder.resolve("found"), base)) < 1e-5);
    }

    @Test
    @DisplayName("a cut at the whole rank keeps all, a cut below it does not; bf16 halves the file")
    void cuts() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 3);
        Path lora = adapter(base, new Lora(4, 4, 0), "lora");
        Cli.succeeds("convert", lora, "--rank", "4", "--out", folder.resolve("whole"));
        assertTrue(difference(merged(lora, base), merged(folder.resolve("whole"), base)) < 1e-6);
        Cli.succeeds("convert", lora, "--rank", "1", "--out", folder.resolve("cut"));
        assertTrue(difference(merged(lora, base), merged(folder.resolve("cut"), base)) > 1e-3);
        Cli.succeeds("convert", lora, "--energy", "1", "--out", folder.resolve("energy"));
        assertTrue(difference(merged(lora, base), merged(folder.resolve("energy"), base)) < 1e-6);
        Cli.succeeds("convert", lora, "--dtype", "bf16", "--out", folder.resolve("bf16"));
        assertTrue(Files.size(file(folder.resolve("bf16"))) < 0.75 * Files.size(file(lora)));
    }

    @Test
    @DisplayName("options that do not go together, and files that do not tell enough, each end in their sentence")
    void misuse() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 4);
        Path lora = adapter(base, new Lora(2, 2, 0), "lora");
        Path other = adapter(base, new Lora(3, 2, 0), "other");
        Path vera = adapter(base, new Vera(5, 0.1, 7, 0, false, Rounding.FMA), "vera");
        Path out = folder.resolve("out");
        fails(2, "exclude each other", "convert", lora, "--rank", "1", "--energy", "0.5", "--out", out);
        fails(2, "--energy: expected", "convert", lora, "--energy", "1.5", "--out", out);
        fails(
                2,
                "only methods that draw frozen tensors from a seed",
                "convert",
                lora,
                "--save-projection",
                "--out",
                out);
        fails(2, "--to: a lower rank makes a LoRA adapter", "convert", vera, "--rank", "2", "--out", out);
        fails(2, "ends with .safetensors", "convert", lora, "--to", "kohya", "--out", out);
        fails(2, "set --rank or --energy", "extract", "--from", base, "--base", base, "--out", out);
        fails(3, "nothing to extract", "extract", "--from", base, "--base", base, "--rank", "1", "--out", out);
        fails(2, "ties needs --density", "combine", lora, other, "--type", "ties", "--out", out);
        fails(2, "does not", "combine", lora, other, "--type", "cat", "--density", "0.5", "--out", out);
        fails(2, "--weights: expected 2", "combine", lora, other, "--type", "cat", "--weights", "1", "--out", out);
        fails(3, "linear needs one rank", "combine", lora, other, "--type", "linear", "--out", out);
        fails(3, "combines LoRA's A and B", "combine", lora, vera, "--type", "linear", "--out", out);
        Path kohya = folder.resolve("k.safetensors");
        Cli.succeeds("convert", lora, "--to", "kohya", "--out", kohya);
        fails(3, "a PEFT adapter is given as its folder", "convert", file(lora), "--out", out);
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert", "roberta", "gpt2", "llama", "vit"})
    @DisplayName("PEFT's VeRA adapters as LoRA merge to the same model within 1e-6")
    void veraFixtures(String architecture) throws IOException {
        Path fixtures = fixtures(architecture);
        Path base = fixtures.resolve("base");
        for (String name : List.of("vera_seed", "vera_saved")) {
            Path made = folder.resolve(name);
            Cli.succeeds("convert", fixtures.resolve(name), "--base", base, "--to", "lora", "--out", made);
            double difference = difference(merged(fixtures.resolve(name), base), merged(made, base));
            System.out.printf("%s %s as LoRA: %.2e%n", architecture, name, difference);
            assertTrue(difference <= 1e-6, () -> architecture + " " + name + ": " + difference);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert", "roberta", "gpt2", "llama", "vit"})
    @DisplayName("merged models of PEFT's adapters are extracted at the adapter's own rank within 1e-5")
    void extractionFixtures(String architecture) throws IOException {
        Path fixtures = fixtures(architecture);
        Path base = fixtures.resolve("base");
        Map<String, String> ranks = new LinkedHashMap<>();
        ranks.put("lora", "4");
        ranks.put("lora_rs_all", "8");
        ranks.put("lora_pattern", "4");
        ranks.put("vera_seed", "12");
        ranks.put("vera_saved", "12");
        for (Map.Entry<String, String> entry : ranks.entrySet()) {
            Path merged = merged(fixtures.resolve(entry.getKey()), base);
            Path made = folder.resolve(entry.getKey());
            List<Object> words = new ArrayList<>(
                    List.of("extract", "--from", merged, "--base", base, "--rank", entry.getValue(), "--out", made));
            String config = Files.readString(fixtures.resolve(entry.getKey()).resolve("adapter_config.json"));
            if (config.replaceAll("\\s", "").contains("\"modules_to_save\":[\"classifier\"]")) {
                words.addAll(List.of("--save", "classifier"));
            }
            Cli.succeeds(words.toArray());
            double difference = difference(merged, merged(made, base));
            System.out.printf("%s %s extracted: %.2e%n", architecture, entry.getKey(), difference);
            assertTrue(difference <= 1e-5, () -> architecture + " " + entry.getKey() + ": " + difference);
            if (entry.getKey().startsWith("lora") && !architecture.equals("vit")) {
                // of vit, PEFT spells modules as transformers 5 does, and the checkpoint as its tensors are called
                assertEquals(
                        PeftDefinitions.read(fixtures.resolve(entry.getKey()), 0)
                                .keySet(),
                        PeftDefinitions.read(made, 0).keySet());
            }
        }
    }

    @Test
    @DisplayName("combinations of tiny adapters are those of PEFT's definitions")
    void combinations() throws IOException {
        Path base = TinyModel.GPT2.write(folder.resolve("base"), 5);
        compare(List.of(
                adapter(base, new Lora(3, 5, 0), "a"),
                adapter(base, new Lora(3, 3, 0), "b"),
                adapter(base, new Lora(3, 1, true, false, 0, Map.of(), Map.of()), "c")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert", "roberta", "gpt2", "llama", "vit"})
    @DisplayName("combinations of PEFT's adapters are those of PEFT's definitions")
    void combinationFixtures(String architecture) throws IOException {
        Path fixtures = fixtures(architecture);
        Path cut = folder.resolve("cut");
        Path plain = folder.resolve("plain");
        Cli.succeeds("convert", fixtures.resolve("lora_rs_all"), "--rank", "4", "--to", "lora", "--out", cut);
        Cli.succeeds("convert", fixtures.resolve("lora_pattern"), "--to", "lora", "--out", plain);
        String ranks = Files.readString(plain.resolve("adapter_config.json"));
        List<Path> adapters = new ArrayList<>(List.of(fixtures.resolve("lora"), cut));
        if (ranks.contains("\"r\" : 4")) {
            adapters.add(plain);
        }
        compare(adapters);
    }

    private void compare(List<Path> adapters) throws IOException {
        double[] weights = {1, 0.7, -0.4};
        String given = Stream.of("1", "0.7", "-0.4")
                .limit(adapters.size())
                .reduce((a, b) -> a + "," + b)
                .orElseThrow();
        List<Map<String, PeftDefinitions.Lora>> layers = new ArrayList<>();
        for (int i = 0; i < adapters.size(); i++) {
            layers.add(PeftDefinitions.read(adapters.get(i), i));
        }
        TreeSet<String> modules = new TreeSet<>();
        layers.forEach(own -> modules.addAll(own.keySet()));
        for (String type : TYPES) {
            for (String sign : type.contains("ties") ? List.of("total", "frequency") : List.of("total")) {
                Path out = folder.resolve("combined-" + type + "-" + sign);
                List<Object> words = new ArrayList<>(List.of("combine"));
                words.addAll(adapters);
                words.addAll(List.of("--type", type, "--weights=" + given, "--out", out));
                if (type.contains("ties") || type.contains("dare") || type.contains("prune")) {
                    words.addAll(List.of("--density", "0.4"));
                }
                if (type.contains("ties")) {
                    words.addAll(List.of("--majority-sign", sign));
                }
                if (type.contains("dare")) {
                    words.addAll(List.of("--seed", "11"));
                }
                Cli.succeeds(words.toArray());
                Map<String, PeftDefinitions.Lora> found = PeftDefinitions.read(out, 0);
                assertEquals(modules, found.keySet(), type);
                double worst = 0;
                for (String module : modules) {
                    List<PeftDefinitions.Lora> own = layers.stream()
                            .filter(adapter -> adapter.containsKey(module))
                            .map(adapter -> adapter.get(module))
                            .toList();
                    int rank = own.getFirst().a().height();
                    PeftDefinitions.Matrix expected =
                            PeftDefinitions.combined(type, module, own, weights, 0.4, sign, 11, rank);
                    PeftDefinitions.Lora made = found.get(module);
                    PeftDefinitions.Matrix delta = made.b().times(made.a()).times(made.scale());
                    worst = Math.max(worst, relative(expected, delta));
                }
                System.out.printf("%-20s %-9s largest difference %.2e of the largest element%n", type, sign, worst);
                assertTrue(worst < 1e-5, type + " " + sign + ": " + worst);
            }
        }
    }

    private static double relative(PeftDefinitions.Matrix expected, PeftDefinitions.Matrix found) {
        double largest = 0;
        double error = 0;
        for (int i = 0; i < expected.height(); i++) {
            for (int j = 0; j < expected.width(); j++) {
                largest = Math.max(largest, Math.abs(expected.rows()[i][j]));
                error = Math.max(error, Math.abs(expected.rows()[i][j] - found.rows()[i][j]));
            }
        }
        return error / largest;
    }

    /** An adapter on all linear layers, every trained value random. */
    private Path adapter(Path base, AdapterMethod method, String name) throws IOException {
        Path written = Files.createDirectories(folder.resolve(name));
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            Architecture architecture = Architectures.of(ModelConfig.of(checkpoint));
            List<Target> targets = binding.targets(architecture.linearModules(), architecture);
            Random random = new Random(name.hashCode());
            BoundAdapter fresh = BoundAdapter.fresh(
                    method, targets, binding::weight, Map.of(), Optional.empty(), binding.digests(targets), random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            for (String key : fresh.trainedKeys()) {
                float[] values = new float[fresh.tensors().get(key).toFloats().length];
                for (int i = 0; i < values.length; i++) {
                    values[i] = 0.3f * (float) random.nextGaussian();
                }
                trained.put(key, new FloatTensor(fresh.tensors().get(key).shape(), values));
            }
            fresh.with(trained, Map.of()).write(written, architecture.linearModules(), base);
        }
        return written;
    }

    private static Path file(Path adapter) {
        return adapter.resolve("adapter_model.safetensors");
    }

    private Path merged(Path adapter, Path base) throws IOException {
        Path out = Files.createTempDirectory(folder, "merged").resolve("model");
        Cli.succeeds("merge", adapter, "--into", base, "--out", out);
        return out;
    }

    private static double difference(Path left, Path right) throws IOException {
        double largest = 0;
        try (Checkpoint a = Checkpoint.open(left);
                Checkpoint b = Checkpoint.open(right)) {
            for (var tensor : a.tensors().values()) {
                float[] x = tensor.toFloats();
                float[] y = b.tensors().get(tensor.name()).toFloats();
                assertEquals(x.length, y.length, tensor.name());
                for (int i = 0; i < x.length; i++) {
                    largest = Math.max(largest, Math.abs((double) x[i] - y[i]));
                }
            }
        }
        return largest;
    }

    private Path fixtures(String architecture) throws IOException {
        return StoredCases.at("fixtures/" + architecture, folder);
    }

    private void fails(int exitCode, String sentence, Object... words) {
        Cli result = Cli.run(words);
        assertTrue(result.errors().contains(sentence), result.errors());
        assertEquals(exitCode, result.exitCode(), result.errors());
        assertFalse(Files.exists(folder.resolve("out")), "something was written");
    }
}
