package dev.adapt.formats.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.MethodSamples;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.AdapterSize;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every method's file with one thing in it that is no file of PEFT's: what is not refused must compute. */
@DisplayName("A crafted adapter ends in one sentence that names its file, whatever its method")
class CraftedAdaptersTest {
    private static final List<String> NAMES = List.of("query", "value", "intermediate.dense");

    private static final List<Shape> SHAPES = List.of(
            Shape.of(),
            Shape.of(0),
            Shape.of(7),
            Shape.of(5, 7),
            Shape.of(0, 1L << 40),
            Shape.of(2, 3, 4),
            Shape.of(1L << 40, 1L << 20, 0),
            Shape.of(1, 1, 1, 1));

    private static final List<String> VALUES = List.of(
            "0",
            "1",
            "5",
            "7",
            "65536",
            "2147483648",
            "-1",
            "0.5",
            "1e999",
            "null",
            "true",
            "\"x\"",
            "[1]",
            "{\"query\": 5}",
            "{\"query\": 65536}",
            "{\"(\": 2}",
            "{\"query\": \"x\"}");

    @TempDir
    private Path folder;

    private Path base = Path.of("");
    private Path crafted = Path.of("");
    private ObjectNode config = new JsonMapper().createObjectNode();
    private final Map<String, FloatTensor> tensors = new TreeMap<>();
    private final List<String> failures = new ArrayList<>();

    static Stream<AdapterMethod> methods() {
        AdapterMethod onlyTop = MethodSamples.sample(
                "vblora",
                Map.of("r", 3, "num_vectors", 7, "vector_length", 4, "topk", 2, "save_only_topk_weights", true));
        // its V is read and never made here, so that it is no sample to train
        AdapterMethod frod = MethodSamples.sample("frod", Map.of("sparse_rate", 0.05));
        return Stream.concat(MethodSamples.of(4).stream(), Stream.of(onlyTop, frod));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void isRefused(AdapterMethod method) throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
        crafted = Files.createDirectory(folder.resolve("crafted"));
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            List<Target> targets = write(method, checkpoint);
            assertEquals(Optional.empty(), refusal(checkpoint, "sound", config, tensors), "the sound file is refused");
            int refused = shapes(method, checkpoint) + settings(method, checkpoint, targets) + integers(checkpoint);
            assertTrue(refused > 0, "nothing was refused");
        }
        assertEquals(List.of(), failures);
    }

    /** Each tensor, alone and with its like of the other modules, in other shapes. */
    private int shapes(AdapterMethod method, Checkpoint checkpoint) throws IOException {
        int refused = 0;
        for (String part : method.partNames()) {
            List<String> keys = tensors.keySet().stream()
                    .filter(key -> key.endsWith("." + part))
                    .toList();
            for (List<String> changed : keys.isEmpty() ? List.<List<String>>of() : List.of(keys, keys.subList(0, 1))) {
                for (Shape shape : SHAPES) {
                    Map<String, FloatTensor> other = new TreeMap<>(tensors);
                    changed.forEach(key -> other.put(key, values(shape)));
                    String what = changed.size() + " of " + part + " " + shape;
                    refused += refusal(checkpoint, what, config, other).isPresent() ? 1 : 0;
                }
            }
        }
        return refused;
    }

    /** Each setting with other values, with the tensors as they were and with those that the settings ask for. */
    private int settings(AdapterMethod method, Checkpoint checkpoint, List<Target> targets) throws IOException {
        int refused = 0;
        for (String field : method.configFields()) {
            for (String value : VALUES) {
                ObjectNode other = config.deepCopy();
                other.set(field, json(value));
                String what = field + " " + value;
                refused += refusal(checkpoint, what, other, tensors).isPresent() ? 1 : 0;
                Optional<Map<String, FloatTensor>> fitting = fitting(other, targets, what);
                if (fitting.isPresent()) {
                    refused += refusal(checkpoint, what + " with its tensors", other, fitting.get())
                                    .isPresent()
                            ? 1
                            : 0;
                }
            }
        }
        return refused;
    }

    private int integers(Checkpoint checkpoint) throws IOException {
        int refused = 0;
        for (String key : tensors.keySet()) {
            if (isInteger(key)) {
                for (float value : new float[] {-1, 11, 12, 1000, 1 << 24}) {
                    Map<String, FloatTensor> other = new TreeMap<>(tensors);
                    float[] values = new float[tensors.get(key).values().length];
                    Arrays.fill(values, value);
                    other.put(key, new FloatTensor(tensors.get(key).shape(), values));
                    boolean isRefused = refusal(checkpoint, key + " all " + value, config, other)
                            .isPresent();
                    if (!isRefused && value == 1 << 24 && key.contains("indices")) {
                        failures.add(key + " all " + value + " is not refused");
                    }
                    refused += isRefused ? 1 : 0;
                }
            }
        }
        return refused;
    }

    private static JsonNode json(String value) {
        try {
            return new JsonMapper().readTree(value);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(value, e);
        }
    }

    private static boolean isInteger(String key) {
        return key.contains("frod_s_")
                || Stream.of("shira_indices", "topk_indices", "unilora_indices_A", "unilora_indices_B")
                        .anyMatch(key::endsWith);
    }

    private static FloatTensor values(Shape shape) {
        float[] values = new float[(int) shape.elements()];
        Arrays.fill(values, 0.25f);
        return new FloatTensor(shape, values);
    }

    /** The tensors that settings ask for, of small shapes; none where the settings are refused already. */
    private Optional<Map<String, FloatTensor>> fitting(ObjectNode settings, List<Target> targets, String what) {
        Map<String, FloatTensor> fitting = new TreeMap<>();
        try {
            AdapterMethod method = Methods.of(
                    new AdapterConfig(new JsonDocument(crafted.resolve(AdapterConfig.FILE), settings)), Map.of());
            if (targets.stream().anyMatch(target -> method.undefined(target).isPresent())) {
                return Optional.empty();
            }
            for (Target target : targets) {
                for (Part part : method.parts(target, targets)) {
                    if (part.stored() && part.shape().elements() < 1 << 20) {
                        fitting.put(BoundAdapter.key(part, target), values(part.shape()));
                    }
                }
            }
        } catch (FormatException declared) {
            return Optional.empty();
        } catch (RuntimeException e) {
            failures.add(what + ": " + e);
            return Optional.empty();
        }
        return Optional.of(fitting);
    }

    /** Why a file is refused; empty where all of its updates can be computed. */
    private Optional<String> refusal(
            Checkpoint checkpoint, String what, ObjectNode settings, Map<String, FloatTensor> written)
            throws IOException {
        Files.writeString(crafted.resolve(AdapterConfig.FILE), settings.toString());
        write(written);
        try {
            Adapter adapter = Adapter.read(crafted);
            alone(adapter, what);
            BoundAdapter bound = new Binding(checkpoint).bind(adapter, true);
            for (Target target : bound.targets()) {
                bound.adapted(target, FloatTensor.of(checkpoint.tensors().get(target.tensor())));
            }
            return Optional.empty();
        } catch (FormatException declared) {
            return Optional.of(sentence(what, declared));
        } catch (RuntimeException e) {
            failures.add(what + ": " + e + " at " + e.getStackTrace()[0] + ", " + e.getStackTrace()[1]);
            return Optional.empty();
        }
    }

    /** The adapter's file, without waiting for the disk. */
    private void write(Map<String, FloatTensor> written) throws IOException {
        Path file = crafted.resolve(Adapter.FILE);
        Files.deleteIfExists(file);
        List<TensorSpec> specs = new ArrayList<>();
        written.forEach((key, tensor) ->
                specs.add(new TensorSpec(key, isInteger(key) ? Dtype.I32 : Dtype.F32, tensor.shape())));
        SafetensorsHeader header = SafetensorsHeader.of(specs, Map.of());
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, header)) {
            for (TensorInfo info : header.tensors()) {
                float[] values =
                        Objects.requireNonNull(written.get(info.name())).values();
                if (info.dtype() == Dtype.F32) {
                    writer.write(info, values);
                    continue;
                }
                ByteBuffer bytes =
                        ByteBuffer.allocate(values.length * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
                for (float value : values) {
                    bytes.putInt((int) value);
                }
                writer.write(info, 0, MemorySegment.ofArray(bytes.array()));
            }
        }
    }

    /** What needs no base must end in a sentence too. */
    private void alone(Adapter adapter, String what) {
        try {
            AdapterSize.of(adapter);
            BoundAdapter.alone(adapter);
        } catch (FormatException declared) {
            sentence(what + " alone", declared);
        } catch (RuntimeException | IOException e) {
            failures.add(what + " alone: " + e + " at " + e.getStackTrace()[0] + ", " + e.getStackTrace()[1]);
        }
    }

    private String sentence(String what, FormatException declared) {
        String message = String.valueOf(declared.getMessage());
        if (!message.contains(crafted.toString()) || message.lines().count() != 1 || message.length() > 800) {
            failures.add(what + " is no sentence that names its file: " + message);
        }
        return message;
    }

    /** An adapter of random values on all three names of both layers. */
    private List<Target> write(AdapterMethod method, Checkpoint checkpoint) throws IOException {
        Binding binding = new Binding(checkpoint);
        List<Target> targets = binding.targets(
                NAMES, Architectures.of(new ModelConfig(checkpoint.config().orElseThrow())));
        Random random = new Random(5);
        BoundAdapter fresh =
                BoundAdapter.fresh(method, targets, binding::weight, Map.of(), Optional.empty(), Map.of(), random);
        Map<String, FloatTensor> trained = new LinkedHashMap<>();
        fresh.trainedKeys()
                .forEach(key -> trained.put(
                        key, TinyBert.random(fresh.tensors().get(key).shape(), random)));
        fresh.with(trained, Map.of()).write(crafted, NAMES, base);
        config = (ObjectNode)
                new JsonMapper().readTree(crafted.resolve(AdapterConfig.FILE).toFile());
        try (SafetensorsFile file = SafetensorsFile.open(crafted.resolve(Adapter.FILE))) {
            file.tensors().forEach(tensor -> {
                float[] floats = new float[(int) tensor.shape().elements()];
                long[] integers = isInteger(tensor.name()) ? tensor.toLongs() : new long[0];
                float[] stored = isInteger(tensor.name()) ? new float[0] : tensor.toFloats();
                for (int i = 0; i < floats.length; i++) {
                    floats[i] = isInteger(tensor.name()) ? integers[i] : stored[i];
                }
                tensors.put(tensor.name(), new FloatTensor(tensor.shape(), floats));
            });
        }
        return targets;
    }
}
