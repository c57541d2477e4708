package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.export.AdapterInputs;
import dev.adapt.formats.onnx.export.OnnxAdapter;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.export.OnnxExport.Weights;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceRunner;
import dev.adapt.verify.runner.Runner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("One ONNX session switches between adapters, each with the logits of its merged model")
class AdapterSwitchTest {
    private static final double TOLERANCE = 1e-5;

    @TempDir
    private Path folder;

    private static FloatTensor random(Random random, Shape shape) {
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.3f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    private static BoundAdapter adapter(Checkpoint base, AdapterMethod method, int labels, String... modules) {
        Random random = new Random(labels);
        List<Target> targets = new Binding(base)
                .targets(
                        List.of(modules),
                        Architectures.of(new ModelConfig(base.config().orElseThrow())));
        Map<String, FloatTensor> head = labels == 0
                ? Map.of()
                : Map.of(
                        "classifier.weight", random(random, Shape.of(labels, TinyBert.HIDDEN)),
                        "classifier.bias", random(random, Shape.of(labels)));
        Optional<Head> described = labels == 0
                ? Optional.empty()
                : Optional.of(
                        new Head(Pooling.MEAN, List.of("a", "b", "c", "d", "e").subList(0, labels)));
        BoundAdapter fresh = BoundAdapter.fresh(
                method, targets, target -> base.tensors().get(target.tensor()), head, described, Map.of(), random);
        Map<String, FloatTensor> trained = new LinkedHashMap<>();
        for (String key : fresh.trainedKeys()) {
            trained.put(
                    key,
                    random(
                            random,
                            Objects.requireNonNull(fresh.tensors().get(key)).shape()));
        }
        return fresh.with(trained, Map.of());
    }

    private static void write(Checkpoint base, BoundAdapter adapter, Path file) throws IOException {
        OnnxAdapter.of(adapter, Model.of(base, adapter)::leaf).write(file);
    }

    private static Lora patterned() {
        return new Lora(4, 8, true, false, 0, Map.of("value", 2.0), Map.of("query", 3.0));
    }

    /** Ranks, scales and modules differ, and so do the heads: 3 labels, 5 labels. */
    private static SequencedMap<String, BoundAdapter> adapters(Checkpoint base) {
        Vera vera = new Vera(8, 0.5, 42, 0, false, Rounding.FMA);
        SequencedMap<String, BoundAdapter> adapters = new LinkedHashMap<>();
        adapters.put("lora", adapter(base, new Lora(3, 8, 0), 3, "query", "value"));
        adapters.put("pattern", adapter(base, patterned(), 5, "query", "value", "output.dense"));
        adapters.put("vera", adapter(base, vera, 3, "key"));
        adapters.put("condlora", adapter(base, new CondLora(2, 4, 0), 3, "intermediate.dense"));
        return adapters;
    }

    @ParameterizedTest
    @EnumSource(Weights.class)
    void oneSessionServesThreeAdaptersAndTheBase(Weights weights) throws IOException {
        Path path = TinyBert.write(folder.resolve("base"), 3);
        Path out = path.resolve("model.onnx");
        try (Checkpoint base = Checkpoint.open(path)) {
            SequencedMap<String, BoundAdapter> adapters = adapters(base);
            Model open = AdapterInputs.model(base, List.copyOf(adapters.values()), List.of());
            OnnxExport exported =
                    OnnxExport.run(open, out, new OnnxExport.Options(weights, OnnxPrecision.FP32, true, false));
            assertEquals(2 * (2 * 3 + 2 + 2 + 2) + 2, exported.adapterInputs());
            Map<String, Tensor> inputs =
                    Inputs.random(open.config(), 6, 1, true).batches().getLast();
            try (OnnxRunner session = OnnxRunner.open(out, "logits", Device.CPU)) {
                Map<String, Runner> runners = new LinkedHashMap<>();
                for (Map.Entry<String, BoundAdapter> adapter : adapters.entrySet()) {
                    Path file = folder.resolve(adapter.getKey() + OnnxAdapter.SUFFIX);
                    write(base, adapter.getValue(), file);
                    runners.put(adapter.getKey(), session.adapted(file));
                }
                // each twice, so that what one leaves behind would be seen by another
                for (String name :
                        List.of("lora", "vera", "pattern", "condlora", "lora", "pattern", "vera", "condlora")) {
                    DoubleTensor found = only(Objects.requireNonNull(runners.get(name)), inputs);
                    Model unmerged = Model.of(base, Objects.requireNonNull(adapters.get(name)));
                    assertSame(new ReferenceRunner(unmerged).run(inputs), found);
                    // the base has no head, so without an adapter there are no labels
                    assertEquals(0, session.run(inputs).shape().dim(1));
                }
            }
        }
    }

    private static DoubleTensor only(Runner runner, Map<String, Tensor> inputs) {
        String output = runner.outputs().getFirst();
        return Objects.requireNonNull(
                runner.run().outputs(inputs, Set.of(output)).get(output));
    }

    private static void assertSame(DoubleTensor expected, DoubleTensor found) {
        assertEquals(expected.shape(), found.shape());
        assertArrayEquals(expected.values(), found.values(), TOLERANCE);
    }

    @Test
    void withoutAHeadTheTokenStatesAreTheBases() throws IOException {
        Path path = TinyBert.write(folder.resolve("base"), 3);
        Path out = path.resolve("model.onnx");
        try (Checkpoint base = Checkpoint.open(path)) {
            BoundAdapter lora = adapter(base, new Lora(3, 8, 0), 0, "query");
            Model open = AdapterInputs.model(base, List.of(), lora.targets());
            OnnxExport.run(open, out, new OnnxExport.Options(Weights.LINKED, OnnxPrecision.FP32, true, false));
            write(base, lora, folder.resolve("lora.onnx_adapter"));
            Map<String, Tensor> inputs =
                    Inputs.random(open.config(), 6, 1, true).batches().getLast();
            try (OnnxRunner session = OnnxRunner.open(out, "last_hidden_state", Device.CPU)) {
                Runner adapted = session.adapted(folder.resolve("lora.onnx_adapter"));
                DoubleTensor plain = session.run(inputs);
                assertSame(new ReferenceRunner(Model.of(base)).run(inputs), plain);
                DoubleTensor changed = only(adapted, inputs);
                assertSame(new ReferenceRunner(Model.of(base, lora)).run(inputs), changed);
                assertTrue(
                        Math.abs(plain.values()[0] - changed.values()[0]) > 1e-3, "the adapter must change something");
            }
        }
    }

    @Test
    void anAdapterOfOtherModulesIsRefusedWithTheWayOut() throws IOException {
        Path path = TinyBert.write(folder.resolve("base"), 3);
        Path out = path.resolve("model.onnx");
        try (Checkpoint base = Checkpoint.open(path)) {
            Model open = AdapterInputs.model(
                    base,
                    List.of(),
                    adapter(base, new Lora(3, 8, 0), 0, "query").targets());
            OnnxExport.run(open, out, new OnnxExport.Options(Weights.LINKED, OnnxPrecision.FP32, true, false));
            write(base, adapter(base, new Lora(3, 8, 0), 0, "value"), folder.resolve("value.onnx_adapter"));
            Map<String, Tensor> inputs =
                    Inputs.random(open.config(), 1, 1, true).batches().getFirst();
            try (OnnxRunner session = OnnxRunner.open(out, "last_hidden_state", Device.CPU)) {
                Runner adapted = session.adapted(folder.resolve("value.onnx_adapter"));
                String refusal = assertThrows(FormatException.class, () -> only(adapted, inputs))
                        .getMessage();
                assertTrue(refusal.contains("self.value.lora_"), refusal);
                assertTrue(refusal.endsWith("export the model with --adapter-inputs for this adapter"), refusal);
            }
        }
    }

    @Test
    void aDoraAdapterIsRefused() throws IOException {
        Path path = TinyBert.write(folder.resolve("base"), 3);
        try (Checkpoint base = Checkpoint.open(path)) {
            Lora dora = new Lora(3, 8, false, true, 0, Map.of(), Map.of());
            BoundAdapter adapter = adapter(base, dora, 0, "query");
            Path file = folder.resolve("dora.onnx_adapter");
            assertThrows(UsageException.class, () -> write(base, adapter, file));
            assertFalse(Files.exists(file));
            assertThrows(UsageException.class, () -> AdapterInputs.model(base, List.of(adapter), List.of()));
        }
    }

    /** PEFT's adapters, and what PyTorch computed with the models that PEFT merged. */
    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"bert", "roberta", "gpt2", "llama", "vit"})
    void referenceAdaptersGiveTheirMergedLogits(String architecture) throws IOException {
        Path cases = StoredCases.at("fixtures/" + architecture, folder);
        Path out = folder.resolve("model.onnx");
        try (Checkpoint base = Checkpoint.open(cases.resolve("base"));
                SafetensorsFile io = SafetensorsFile.open(cases.resolve("io.safetensors"))) {
            SequencedMap<String, BoundAdapter> adapters = new LinkedHashMap<>();
            for (String name : List.of("lora", "lora_pattern", "vera_seed", "lora_rs_all", "vera_saved")) {
                adapters.put(name, new Binding(base).bind(Adapter.read(cases.resolve(name)), false));
            }
            Model open = AdapterInputs.model(base, List.copyOf(adapters.values()), List.of());
            OnnxExport.run(open, out, new OnnxExport.Options(Weights.OWN, OnnxPrecision.FP32, true, false));
            Map<String, Tensor> inputs = inputs(io, open.architecture());
            DoubleTensor plain = DoubleTensor.of(io.tensor("base.logits"));
            try (OnnxRunner session = OnnxRunner.open(out, "logits", Device.CPU)) {
                print(architecture, "no adapter", plain, session.run(inputs));
                for (Map.Entry<String, BoundAdapter> adapter : adapters.entrySet()) {
                    Path file = folder.resolve(adapter.getKey() + OnnxAdapter.SUFFIX);
                    write(base, adapter.getValue(), file);
                    DoubleTensor merged = StoredCases.mergedLogits(io, adapter.getKey());
                    print(architecture, adapter.getKey(), merged, only(session.adapted(file), inputs));
                }
                print(architecture, "no adapter, again", plain, session.run(inputs));
            }
        }
    }

    private static Map<String, Tensor> inputs(SafetensorsFile io, Architecture architecture) {
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        for (InputSpec input : architecture.inputs()) {
            io.find("in." + input.name())
                    .ifPresent(view -> inputs.put(
                            input.name(),
                            input.dtype() == Dtype.I64
                                    ? new LongTensor(view.shape(), view.toLongs())
                                    : new FloatTensor(view.shape(), view.toFloats())));
        }
        return inputs;
    }

    private static void print(String architecture, String active, DoubleTensor expected, DoubleTensor found) {
        System.out.printf("%-10s %-20s %10.1e%n", architecture, active, Engines.difference(expected, found));
        assertSame(expected, found);
    }

    @Test
    void commandsExportInspectAndVerify() throws IOException {
        Path path = TinyBert.write(folder.resolve("base"), 3);
        Path lora = Files.createDirectory(folder.resolve("lora"));
        try (Checkpoint base = Checkpoint.open(path)) {
            adapter(base, new Lora(3, 8, 0), 0, "query").write(lora, List.of("query"), path);
        }
        Path model = path.resolve("model.onnx");
        Path file = folder.resolve("lora.onnx_adapter");
        succeeds("export-onnx", path, "--adapter-inputs", lora, "--target", "key", "--out", model);
        succeeds("export-adapter", lora, "--base", path, "--out", file);
        succeeds("inspect", file);
        assertEquals(4, OnnxAdapter.read(file).parameters().size());
        succeeds("verify", "--base", path, "--adapter", lora, "--onnx", model, "--onnx-adapter", file);
        Cli differs = Cli.run("verify", "--base", path, "--adapter", lora, "--onnx", model);
        assertEquals(4, differs.exitCode(), "without its adapter the model is the base");
        Cli both = Cli.run("export-onnx", path, "--adapter", lora, "--target", "key", "--out", model);
        assertEquals(2, both.exitCode());
    }

    private static void succeeds(Object... args) {
        Cli result = Cli.run(args);
        assertEquals(0, result.exitCode(), result.errors());
    }
}
