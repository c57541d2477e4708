package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.export.OnnxExport.Weights;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Exported models on ONNX Runtime against the float64 reference on the checkpoints they come from. */
class OnnxExportTest {
    private static final String MERGED = ".merged_logits";
    private static final double TOLERANCE = 1e-5;

    @TempDir
    private Path folder;

    /** A tiny BERT with a head, unless the pooling is {@code none}. */
    private Path checkpoint(String pooling, String activation, Dtype dtype) throws IOException {
        Path plain = TinyBert.write(folder.resolve("plain"), 5);
        ModelConfig config = ModelConfig.read(plain.resolve(ModelConfig.FILE));
        config.document().json().put("hidden_act", activation);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (Checkpoint base = Checkpoint.open(plain)) {
            base.tensors()
                    .forEach((name, tensor) -> tensors.put(name, new FloatTensor(tensor.shape(), tensor.toFloats())));
        }
        Optional<Pooling> head = Pooling.named(pooling);
        Random random = new Random(6);
        if (head.isPresent()) {
            tensors.put("pooler.dense.weight", random(random, TinyBert.HIDDEN, TinyBert.HIDDEN));
            tensors.put("pooler.dense.bias", random(random, TinyBert.HIDDEN));
            tensors.put("classifier.weight", random(random, 3, TinyBert.HIDDEN));
            tensors.put("classifier.bias", random(random, 3));
            config = config.withHead(new Head(head.get(), List.of("a", "b", "c")), Architectures.of(config));
        }
        Path model = Files.createDirectory(folder.resolve("model"));
        Files.writeString(model.resolve(ModelConfig.FILE), config.document().text());
        write(model.resolve(Checkpoint.SINGLE), tensors, dtype);
        return model;
    }

    private static FloatTensor random(Random random, long... dims) {
        Shape shape = Shape.of(dims);
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.2f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    private static void write(Path file, Map<String, FloatTensor> tensors, Dtype dtype) throws IOException {
        List<TensorSpec> specs = tensors.entrySet().stream()
                .map(tensor ->
                        new TensorSpec(tensor.getKey(), dtype, tensor.getValue().shape()))
                .toList();
        SafetensorsWriter.write(
                file,
                SafetensorsHeader.of(specs, Map.of()),
                info -> encoded(Objects.requireNonNull(tensors.get(info.name())), dtype));
    }

    private static MemorySegment encoded(FloatTensor tensor, Dtype dtype) {
        ByteBuffer bytes =
                ByteBuffer.allocate(tensor.values().length * dtype.bits() / 8).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : tensor.values()) {
            switch (dtype) {
                case F64 -> bytes.putDouble(value);
                case F32 -> bytes.putFloat(value);
                case F16 -> bytes.putShort(Float.floatToFloat16(value));
                case BF16 -> bytes.putShort((short) (Float.floatToRawIntBits(value) >>> 16));
                default -> throw new IllegalArgumentException(dtype.name());
            }
        }
        return MemorySegment.ofBuffer(bytes.flip());
    }

    /** At sizes from one token to all positions, with padding. */
    private static void assertEqualsReference(Model model, Path exported) throws IOException {
        ReferenceRunner reference = new ReferenceRunner(model);
        try (OnnxRunner session = OnnxRunner.open(exported, model.architecture().outputName(), Device.CPU)) {
            for (Map<String, Tensor> batch :
                    Inputs.random(model.config(), 12, 7, true).batches()) {
                DoubleTensor expected = reference.run(batch);
                DoubleTensor found = session.run(batch);
                assertEquals(expected.shape(), found.shape());
                assertArrayEquals(expected.values(), found.values(), TOLERANCE);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "none, gelu, F32, LINKED",
        "none, gelu, F32, OWN",
        "mean, gelu, F32, LINKED",
        "mean, gelu, F32, OWN",
        "cls, gelu, F32, LINKED",
        "pooler, gelu, F32, LINKED",
        "pooler, gelu_new, F32, LINKED",
        "mean, relu, F32, LINKED",
        "mean, silu, F32, LINKED",
        "mean, tanh, F32, LINKED",
        "mean, gelu, F16, LINKED",
        "mean, gelu, BF16, LINKED",
        "mean, gelu, BF16, OWN",
        "mean, gelu, F64, LINKED"
    })
    void exportedModelComputesTheReference(String pooling, String activation, Dtype dtype, Weights weights)
            throws Exception {
        Path path = checkpoint(pooling, activation, dtype);
        try (Checkpoint checkpoint = Checkpoint.open(path)) {
            Model model = Model.of(checkpoint);
            Path out = (weights == Weights.LINKED ? path : folder).resolve("model.onnx");
            OnnxExport exported = OnnxExport.run(model, out, weights);
            assertTrue(exported.data().isEmpty());
            assertEqualsReference(model, out);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"lora", "dora", "vera", "condlora"})
    void adapterBesideItsBaseIsExportedUnmerged(String name) throws Exception {
        AdapterMethod method = switch (name) {
            case "vera" -> new Vera(8, 0.5, 42, 0, false, Rounding.FMA);
            case "condlora" -> new CondLora(4, 8, 0);
            default -> new Lora(4, 8, false, name.equals("dora"), 0, Map.of(), Map.of());
        };
        Path path = checkpoint("mean", "gelu", Dtype.F32);
        try (Checkpoint checkpoint = Checkpoint.open(path)) {
            Binding binding = new Binding(checkpoint);
            Architecture architecture = Architectures.of(ModelConfig.of(checkpoint));
            List<Target> targets = binding.targets(List.of("query", "value", "output.dense"), architecture);
            Random random = new Random(8);
            BoundAdapter fresh =
                    BoundAdapter.fresh(method, targets, binding::weight, Map.of(), Optional.empty(), Map.of(), random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            for (String key : fresh.trainedKeys()) {
                Tensor before = Objects.requireNonNull(fresh.tensors().get(key));
                trained.put(key, random(random, before.shape().toArray()));
            }
            Model model = Model.of(checkpoint, fresh.with(trained, Map.of()));
            Path out = path.resolve("model.onnx");
            OnnxExport.run(model, out, Weights.LINKED);
            assertEqualsReference(model, out);

            Map<String, Tensor> batch =
                    Inputs.random(model.config(), 1, 9, true).batches().getFirst();
            double[] adapted = new ReferenceRunner(model).run(batch).values();
            double[] base = new ReferenceRunner(Model.of(checkpoint)).run(batch).values();
            assertTrue(Math.abs(adapted[0] - base[0]) > 1e-3, "the adapter must change what is compared");
        }
    }

    @Test
    void inputsAndOutputsAreNamedAndSizedAsTheArchitectureSays() throws Exception {
        Path path = checkpoint("mean", "gelu", Dtype.F32);
        try (Checkpoint checkpoint = Checkpoint.open(path)) {
            OnnxExport.run(Model.of(checkpoint), path.resolve("model.onnx"), Weights.LINKED);
        }
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions();
                OrtSession session = session(path.resolve("model.onnx"), options)) {
            assertEquals(
                    List.of("input_ids", "attention_mask", "token_type_ids"),
                    List.copyOf(session.getInputInfo().keySet()));
            for (NodeInfo input : session.getInputInfo().values()) {
                assertArrayEquals(
                        new String[] {"batch", "sequence"}, ((TensorInfo) input.getInfo()).getDimensionNames());
            }
            assertEquals(List.of("logits"), List.copyOf(session.getOutputInfo().keySet()));
            NodeInfo output = session.getOutputInfo().values().iterator().next();
            assertArrayEquals(new long[] {-1, 3}, ((TensorInfo) output.getInfo()).getShape());
        }
    }

    private static OrtSession session(Path model, OrtSession.SessionOptions options) throws OrtException {
        return OrtEnvironment.getEnvironment().createSession(model.toString(), options);
    }

    @ParameterizedTest
    @CsvSource({"gelu, BiasGelu", "gelu_new, FastGelu"})
    void onnxRuntimeFusesTheActivation(String activation, String fused) throws Exception {
        Path path = checkpoint("none", activation, Dtype.F32);
        Path optimised = folder.resolve("optimised.onnx");
        try (Checkpoint checkpoint = Checkpoint.open(path)) {
            OnnxExport.run(Model.of(checkpoint), path.resolve("model.onnx"), Weights.LINKED);
        }
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.EXTENDED_OPT);
            options.setOptimizedModelFilePath(optimised.toString());
            session(path.resolve("model.onnx"), options).close();
        }
        ModelProto model = ModelProto.parseFrom(Files.readAllBytes(optimised));
        long count = model.getGraph().getNodeList().stream()
                .filter(node -> node.getOpType().equals(fused))
                .count();
        assertEquals(2, count, "one in each layer");
        assertFalse(
                model.getGraph().getNodeList().stream()
                        .anyMatch(node -> node.getOpType().equals("Erf")
                                || node.getOpType().equals("Tanh")),
                "nothing of it is left");
    }

    /** The base and what PEFT's adapters merge to, and what PyTorch computed with PEFT's merged models. */
    @ParameterizedTest
    @ValueSource(strings = {"base", "lora", "lora_rs_all", "lora_pattern", "vera_seed", "vera_saved"})
    void exportedReferenceModelsGiveTheirLogits(String name) throws Exception {
        Path bert = fixtures();
        Path merged = folder.resolve("merged");
        if (name.equals("base")) {
            Files.createDirectory(merged);
            for (String file : List.of(Checkpoint.CONFIG, Checkpoint.SINGLE)) {
                Files.copy(bert.resolve("base").resolve(file), merged.resolve(file));
            }
        } else {
            Cli.succeeds("merge", bert.resolve(name), "--into", bert.resolve("base"), "--out", merged);
        }
        try (Checkpoint checkpoint = Checkpoint.open(merged)) {
            OnnxExport.run(Model.of(checkpoint), merged.resolve("model.onnx"), Weights.LINKED);
        }
        assertLogits(merged.resolve("model.onnx"), name.equals("base") ? "base.logits" : name + MERGED);
    }

    /** PEFT's own adapters beside their base, and what PyTorch computed with them. */
    @ParameterizedTest
    @ValueSource(strings = {"lora", "lora_rs_all", "lora_pattern", "vera_seed", "vera_saved"})
    void exportedReferenceAdaptersGiveTheirLogits(String name) throws Exception {
        Path bert = fixtures();
        Path out = folder.resolve("model.onnx");
        try (Checkpoint checkpoint = Checkpoint.open(bert.resolve("base"))) {
            BoundAdapter adapter = new Binding(checkpoint).bind(Adapter.read(bert.resolve(name)), false);
            OnnxExport.run(Model.of(checkpoint, adapter), out, Weights.OWN);
        }
        assertLogits(out, name + ".adapter_logits");
    }

    private Path fixtures() throws IOException {
        return StoredCases.at("fixtures/bert", folder);
    }

    private void assertLogits(Path exported, String expected) throws Exception {
        try (SafetensorsFile io = SafetensorsFile.open(fixtures().resolve("io.safetensors"));
                OnnxRunner session = OnnxRunner.open(exported, "logits", Device.CPU)) {
            Shape shape = io.tensor("in.input_ids").shape();
            Map<String, Tensor> inputs = Map.of(
                    "input_ids", new LongTensor(shape, io.tensor("in.input_ids").toLongs()),
                    "attention_mask",
                            new LongTensor(shape, io.tensor("in.attention_mask").toLongs()));
            double[] logits = (expected.endsWith(MERGED)
                            ? StoredCases.mergedLogits(io, expected.replace(MERGED, ""))
                            : DoubleTensor.of(io.tensor(expected)))
                    .values();
            assertArrayEquals(logits, session.run(inputs).values(), TOLERANCE);
        }
    }
}
