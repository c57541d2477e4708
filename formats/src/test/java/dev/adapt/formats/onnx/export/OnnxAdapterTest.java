package dev.adapt.formats.onnx.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.MethodSamples;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Deft;
import dev.adapt.formats.method.lowrank.Delora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.lowrank.LoraVariant;
import dev.adapt.formats.method.lowrank.LoraXs;
import dev.adapt.formats.method.lowrank.Peanut;
import dev.adapt.formats.method.seeded.TinyLora;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class OnnxAdapterTest {
    @TempDir
    private Path folder;

    private static FloatTensor random(Random random, long... dims) {
        Shape shape = Shape.of(dims);
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    private Path write(Map<String, FloatTensor> parameters) throws IOException {
        Path file = folder.resolve("a.onnx_adapter");
        new OnnxAdapter(new LinkedHashMap<>(parameters)).write(file);
        return file;
    }

    private static SequencedMap<String, FloatTensor> some() {
        Random random = new Random(1);
        SequencedMap<String, FloatTensor> parameters = new LinkedHashMap<>();
        parameters.put("b.lora_A.weight", random(random, 3, 5));
        parameters.put("a, not in order: ü", random(random, 7));
        parameters.put("empty", random(random, 0, 4));
        parameters.put("scalar", random(random));
        return parameters;
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        SequencedMap<String, FloatTensor> written = some();
        SequencedMap<String, FloatTensor> read =
                OnnxAdapter.read(write(written)).parameters();
        assertEquals(List.copyOf(written.keySet()), List.copyOf(read.keySet()));
        written.forEach((name, tensor) -> {
            FloatTensor found = Objects.requireNonNull(read.get(name));
            assertEquals(tensor.shape(), found.shape());
            assertArrayEquals(tensor.values(), found.values());
        });
    }

    /** FlatBuffers' identifier, and the tensors' bytes where the schema wants them: aligned to 8. */
    @Test
    void tensorsAreAligned() throws IOException {
        FloatTensor tensor = random(new Random(2), 3, 3);
        byte[] file = Files.readAllBytes(write(Map.of("x", tensor)));
        assertEquals("TORT", new String(file, 4, 4, StandardCharsets.US_ASCII));
        byte[] bytes = tensor.toBytes().array();
        int at = 0;
        while (!Arrays.equals(file, at, at + bytes.length, bytes, 0, bytes.length)) {
            at++;
        }
        assertEquals(0, at % 8);
    }

    /** Whatever stands in a file, its reader ends in a result or in a sentence. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void brokenFilesAreRefused(long seed) throws IOException {
        byte[] whole = Files.readAllBytes(write(some()));
        Random random = new Random(seed);
        Path broken = folder.resolve("broken.onnx_adapter");
        int refused = 0;
        for (int run = 0; run < 500; run++) {
            byte[] bytes = Arrays.copyOf(whole, run % 4 == 0 ? random.nextInt(whole.length) : whole.length);
            for (int change = 0; change < 3 && bytes.length > 8; change++) {
                bytes[8 + random.nextInt(bytes.length - 8)] = (byte) random.nextInt();
            }
            Files.write(broken, bytes);
            try {
                OnnxAdapter.read(broken);
            } catch (FormatException e) {
                refused++;
                assertTrue(e.getMessage().startsWith(broken + ": "), e.getMessage());
            }
        }
        assertTrue(refused > 100, "only " + refused + " of 500 were refused");
    }

    @Test
    void otherFilesAreNamed() throws IOException {
        Path text = Files.writeString(folder.resolve("text.onnx_adapter"), "plain text, no adapter");
        assertTrue(assertThrows(FormatException.class, () -> OnnxAdapter.read(text))
                .getMessage()
                .contains("lacks the mark TORT"));
    }

    @Test
    void noInputIsOverwritten() throws IOException {
        Path input = Files.writeString(folder.resolve("adapter_model.safetensors"), "x");
        assertThrows(UsageException.class, () -> new OnnxAdapter(some()).write(input));
        assertEquals("x", Files.readString(input));
    }

    static Stream<AdapterMethod> methods() {
        return MethodSamples.of(2).stream().filter(AdapterMethod::isLowRank);
    }

    private static boolean readsWeights(AdapterMethod method) {
        boolean decomposes = method instanceof Lora lora
                && (lora.variant() instanceof LoraVariant.Kasa
                        || lora.variant() instanceof LoraVariant.Pissa
                        || lora.variant() instanceof LoraVariant.Olora);
        return decomposes
                || method instanceof CondLora
                || method instanceof Deft
                || method instanceof Delora
                || method instanceof Peanut
                || method instanceof LoraXs
                || method instanceof TinyLora;
    }

    private static Tensor noWeight(Object of) {
        throw new AssertionError("asked for the weight of " + of);
    }

    /** L·R of the file is the method's ΔW: scales, patterns, diagonals and shared projections are folded in. */
    @ParameterizedTest
    @MethodSource("methods")
    void itsFactorsMultiplyToTheUpdate(AdapterMethod method) {
        Random random = new Random(3);
        List<Target> targets = List.of(
                new Target("x.layer.0.query", "layer.0.query", "layer.0.query.weight", 12, 8, false),
                new Target("x.layer.1.value", "layer.1.value", "layer.1.value.weight", 8, 12, false));
        BoundAdapter fresh = BoundAdapter.fresh(
                method,
                targets,
                target -> readsWeights(method) ? random(random, target.out(), target.in()) : noWeight(target),
                Map.of(),
                Optional.empty(),
                Map.of(),
                random);
        Map<String, FloatTensor> trained = new LinkedHashMap<>();
        fresh.trainedKeys()
                .forEach(key -> trained.put(
                        key,
                        random(
                                random,
                                Objects.requireNonNull(fresh.tensors().get(key))
                                        .shape()
                                        .toArray())));
        BoundAdapter adapter = fresh.with(trained, Map.of());
        Map<String, Tensor> weights = Map.of(
                "layer.0.query.weight", random(random, 12, 8),
                "layer.1.value.weight", random(random, 8, 12));
        Function<String, Tensor> weight =
                name -> readsWeights(method) ? Objects.requireNonNull(weights.get(name)) : noWeight(name);
        SequencedMap<String, FloatTensor> parameters =
                OnnxAdapter.of(adapter, weight).parameters();
        ReferenceOps ops = new ReferenceOps();
        for (Target target : targets) {
            var update = adapter.change(
                            ops,
                            target,
                            key -> DoubleTensor.of(
                                    Objects.requireNonNull(adapter.tensors().get(key))),
                            () -> DoubleTensor.of(weight.apply(target.canonical() + ".weight")))
                    .lowRank()
                    .orElseThrow();
            DoubleTensor expected = ops.matMul(update.foldedLeft(ops), update.foldedRight(ops));
            DoubleTensor found = ops.matMul(
                    wide(parameters, "base_model.model." + target.canonical() + ".lora_B.weight"),
                    wide(parameters, "base_model.model." + target.canonical() + ".lora_A.weight"));
            assertEquals(Shape.of(target.out(), target.in()), found.shape());
            // The file's factors are float32: what they lose grows with the largest element.
            double largest =
                    Arrays.stream(expected.values()).map(Math::abs).max().orElseThrow();
            assertArrayEquals(expected.values(), found.values(), 1e-5 * Math.max(1, largest / 100));
        }
        assertEquals(4, parameters.size());
    }

    private static DoubleTensor wide(Map<String, FloatTensor> parameters, String name) {
        return DoubleTensor.of(Objects.requireNonNull(parameters.get(name), name));
    }
}
