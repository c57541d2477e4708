package dev.adapt.formats.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.MethodSamples;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Deft;
import dev.adapt.formats.method.seeded.UniLora;
import dev.adapt.formats.method.seeded.VbLora;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("What every adapter method keeps")
class AdapterContractTest {
    private static final List<String> NAMES = List.of("query", "value", "intermediate.dense");

    @TempDir
    private Path folder;

    static Stream<AdapterMethod> methods() {
        return MethodSamples.of(5).stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void whatIsWrittenIsReadBackBitForBit(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        BoundAdapter written = write(method, base);
        Adapter adapter = Adapter.read(folder);
        BoundAdapter read = bind(adapter, base, false);

        assertEquals(method, adapter.method());
        assertEquals(written.targets(), read.targets());
        assertEquals(6, read.targets().size());
        assertEquals(written.tensors().keySet(), read.tensors().keySet());
        written.tensors()
                .forEach((key, tensor) -> assertBits(key, tensor, read.tensors().get(key)));
        assertEquals(written.saved().keySet(), read.saved().keySet());
        written.saved()
                .forEach((key, tensor) -> assertBits(key, tensor, read.saved().get(key)));
        assertEquals(Optional.of(TinyBert.HEAD), read.head());
        assertEquals(written.trainedKeys(), read.trainedKeys());
        assertEquals(written.trainedParameters(), read.trainedParameters());
        assertEquals(written.baseDigests(), read.baseDigests());
    }

    /** VB-LoRA and Uni-LoRA start from random vectors, and what cannot be trained has no start. */
    static Stream<AdapterMethod> methodsThatStartAtTheBase() {
        return methods()
                .filter(method ->
                        method.untrainable().isEmpty() && !(method instanceof VbLora) && !(method instanceof UniLora));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methodsThatStartAtTheBase")
    void aNewAdapterChangesNothing(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            List<Target> targets = binding.targets(
                    NAMES, Architectures.of(new ModelConfig(checkpoint.config().orElseThrow())));
            BoundAdapter fresh = BoundAdapter.fresh(
                    method, targets, binding::weight, Map.of(), Optional.empty(), Map.of(), new Random(1));
            // DoRA's magnitudes are float32 and divided by norms in float64: one rounding apart; rotations are products
            double tolerance = method.isAdditive() && !(method instanceof Deft) ? 0 : 1e-6;
            assertArrayEquals(
                    Reference.run(Model.of(checkpoint), Reference.inputs(3, 5)).values(),
                    Reference.run(Model.of(checkpoint, fresh), Reference.inputs(3, 5))
                            .values(),
                    tolerance);
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void aMissingTensorIsNamed(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        BoundAdapter adapter = write(method, base);
        Map<String, Tensor> written = adapter.tensors();
        for (String key : adapter.trainedKeys()) {
            write(method, base);
            rewrite(tensors -> tensors.remove(key));
            FormatException thrown = assertThrows(FormatException.class, () -> bind(Adapter.read(folder), base, false));
            // without its only tensor a module is not there at all
            // without its only tensor a module is not there at all
            String expected = method.partNames().stream()
                    .filter(name -> key.startsWith("base_model.model.") && key.endsWith("." + name))
                    .findFirst()
                    .map(name -> key.substring("base_model.model.".length(), key.length() - name.length() - 1))
                    .filter(module -> written.keySet().stream()
                                    .filter(other -> other.startsWith("base_model.model." + module + "."))
                                    .count()
                            == 1)
                    .map(module -> "target_modules: " + module)
                    .orElse(key + ": is missing");
            assertTrue(thrown.getMessage().contains(expected), thrown::getMessage);
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void aTensorOfAnotherShapeIsNamed(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        BoundAdapter written = write(method, base);
        for (String key : storedKeys()) {
            write(method, base);
            rewrite(tensors -> tensors.put(key, new FloatTensor(Shape.of(3), new float[3])));
            FormatException thrown = assertThrows(FormatException.class, () -> bind(Adapter.read(folder), base, false));
            Shape needed = written.tensors().get(key).shape();
            assertTrue(
                    thrown.getMessage().contains(key + ": has shape [3], its layer in the base needs " + needed),
                    thrown::getMessage);
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void aTensorThatNothingUsesIsNamed(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        write(method, base);
        rewrite(tensors -> tensors.put("base_model.stray", new FloatTensor(Shape.of(1), new float[1])));
        FormatException thrown = assertThrows(FormatException.class, () -> bind(Adapter.read(folder), base, false));
        assertTrue(thrown.getMessage().contains("no adapted module uses: base_model.stray"), thrown::getMessage);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void anotherBaseIsRefusedUnlessForced(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        Path other = TinyBert.write(folder.resolve("other"), 2);
        write(method, base);
        Adapter adapter = Adapter.read(folder);
        FormatException thrown = assertThrows(FormatException.class, () -> bind(adapter, other, false));
        assertTrue(thrown.getMessage().contains("was trained on another base"), thrown::getMessage);
        assertEquals(6, bind(adapter, other, true).targets().size());
        assertEquals(6, bind(adapter, base, false).targets().size());
    }

    /** Where the file names no layers, any base that has those of the config will do. */
    static Stream<AdapterMethod> methodsThatNameLayers() {
        return methods().filter(method -> !method.namesNoLayers());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methodsThatNameLayers")
    void aBaseWithoutTheModulesIsRefusedEvenIfForced(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        write(method, base);
        rewrite(tensors -> {
            for (String key : List.copyOf(tensors.keySet())) {
                if (key.contains("layer.1") || key.contains("layer.*")) {
                    String other = key.replace("layer.1", "layer.7").replace("layer.*", "block.*");
                    tensors.put(other, tensors.remove(key));
                }
            }
        });
        FormatException thrown = assertThrows(FormatException.class, () -> bind(Adapter.read(folder), base, true));
        boolean stacks = method instanceof CondLora;
        String expected = stacks
                ? "3 of its 3 modules are not in " + base + ": encoder.block.*.attention.self.query"
                : "3 of its 6 modules are not in " + base + ": encoder.layer.7.attention.self.query";
        assertTrue(thrown.getMessage().contains(expected), thrown::getMessage);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void matricesAreStoredOnlyWhereTheyMustBe(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        BoundAdapter written = write(method, base);
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(Adapter.FILE))) {
            List<String> matrices = file.header().tensors().stream()
                    .filter(tensor -> tensor.shape().rank() > 1)
                    .map(TensorInfo::name)
                    .filter(name -> !name.contains("classifier"))
                    .toList();
            if (method instanceof Vera vera) {
                assertEquals(
                        vera.saveProjection() ? List.of("base_model.vera_A", "base_model.vera_B") : List.of(),
                        matrices.stream().sorted().toList());
                assertEquals(
                        TensorDigest.ofFloats(written.tensors().get("base_model.vera_A")),
                        file.metadata().get("adapt.sha256.vera_A"));
                assertEquals(
                        TensorDigest.ofFloats(written.tensors().get("base_model.vera_B")),
                        file.metadata().get("adapt.sha256.vera_B"));
            }
            Set<String> stored = written.targets().stream()
                    .flatMap(target -> method.parts(target, written.targets()).stream()
                            .filter(Part::stored)
                            .map(part -> BoundAdapter.key(part, target)))
                    .collect(Collectors.toSet());
            assertEquals(
                    stored,
                    file.header().tensors().stream()
                            .map(TensorInfo::name)
                            .filter(name -> !name.contains("classifier"))
                            .collect(Collectors.toSet()));
            if (method instanceof CondLora) {
                assertEquals(2 * NAMES.size(), matrices.size());
            }
        }
    }

    static Stream<AdapterMethod> methodsThatRegenerate() {
        return methods().filter(method -> method instanceof Vera vera && !vera.saveProjection());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methodsThatRegenerate")
    void aProjectionThatRegeneratesToAnotherIsRefused(AdapterMethod method) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        write(method, base);
        Path config = folder.resolve("adapter_config.json");
        String text = Files.readString(config);
        String changed = text.replaceFirst("(\"projection_prng_key\" : )\\d+", "$1" + 123);
        assertFalse(changed.equals(text));
        Files.writeString(config, changed);
        FormatException thrown = assertThrows(FormatException.class, () -> bind(Adapter.read(folder), base, false));
        assertTrue(thrown.getMessage().contains("regenerated has SHA-256"), thrown::getMessage);
    }

    /** An adapter of random values on all three names of both layers, in {@link #folder}. */
    private BoundAdapter write(AdapterMethod method, Path base) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            List<Target> targets = binding.targets(
                    NAMES, Architectures.of(new ModelConfig(checkpoint.config().orElseThrow())));
            Random random = new Random(5);
            BoundAdapter fresh = BoundAdapter.fresh(
                    method,
                    targets,
                    binding::weight,
                    TinyBert.head(1),
                    Optional.of(TinyBert.HEAD),
                    binding.digests(targets),
                    random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            fresh.trainedKeys()
                    .forEach(key -> trained.put(
                            key, TinyBert.random(fresh.tensors().get(key).shape(), random)));
            BoundAdapter adapter = fresh.with(trained, TinyBert.head(2));
            adapter.write(folder, NAMES, base);
            return adapter;
        }
    }

    private static BoundAdapter bind(Adapter adapter, Path base, boolean force) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            return new Binding(checkpoint).bind(adapter, force);
        }
    }

    /** The keys of the method's tensors in the file. */
    private List<String> storedKeys() throws IOException {
        return List.copyOf(Adapter.read(folder).parts().keySet());
    }

    /** Changes the tensors of the adapter's file and leaves its metadata. */
    private void rewrite(Consumer<Map<String, FloatTensor>> change) throws IOException {
        Path path = folder.resolve(Adapter.FILE);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        Map<String, String> metadata;
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            file.tensors()
                    .forEach(tensor -> tensors.put(tensor.name(), new FloatTensor(tensor.shape(), floats(tensor))));
            metadata = file.metadata();
        }
        change.accept(tensors);
        SafetensorsWriter.write(
                path, tensors, name -> name.endsWith("shira_indices") ? Dtype.I32 : Dtype.F32, metadata);
    }

    private static float[] floats(TensorView tensor) {
        if (tensor.dtype() != Dtype.I32) {
            return tensor.toFloats();
        }
        long[] integers = tensor.toLongs();
        float[] floats = new float[integers.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = integers[i];
        }
        return floats;
    }

    private static void assertBits(String key, Tensor expected, Tensor actual) {
        assertEquals(expected.shape(), actual.shape(), key);
        assertEquals(TensorDigest.ofFloats(expected), TensorDigest.ofFloats(actual), key);
    }
}
