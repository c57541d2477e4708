package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("Models exported in int8 and int4")
class QuantizedExportTest {
    private static final String BERT = """
            {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 48, "intermediate_size": 80,
             "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50, "max_position_embeddings": 40,
             "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
            """;
    private static final String GPT2 = """
            {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 48, "n_layer": 2, "n_head": 4,
             "n_positions": 40, "vocab_size": 50, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
            """;

    @TempDir
    private Path folder;

    private Path checkpoint(String config) throws IOException {
        Path base = Files.createDirectory(folder.resolve("base"));
        Path file = Files.writeString(base.resolve(ModelConfig.FILE), config);
        Random random = new Random(3);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        Architectures.of(ModelConfig.read(file)).requiredTensors().forEach((name, shape) -> {
            FloatTensor tensor = new FloatTensor(shape, new float[Math.toIntExact(shape.elements())]);
            for (int i = 0; i < tensor.values().length; i++) {
                boolean gain = name.endsWith("LayerNorm.weight") || name.matches(".*ln_\\w.weight");
                tensor.values()[i] = (gain ? 1 : 0) + 0.1f * (float) random.nextGaussian();
            }
            tensors.put(name, tensor);
        });
        SafetensorsWriter.write(base.resolve(Checkpoint.SINGLE), tensors, Map.of());
        return base;
    }

    private Path export(Path base, OnnxPrecision precision) throws IOException {
        Path out = folder.resolve(precision + ".onnx");
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            OnnxExport.run(
                    Model.of(checkpoint), out, new OnnxExport.Options(OnnxExport.Weights.OWN, precision, false, false));
        }
        return out;
    }

    private static GraphProto graph(Path model) throws IOException {
        return ModelProto.parseFrom(Files.readAllBytes(model)).getGraph();
    }

    private static long count(GraphProto graph, String operator) {
        return graph.getNodeList().stream()
                .filter(node -> node.getOpType().equals(operator))
                .count();
    }

    @ParameterizedTest
    @CsvSource({"INT8, MatMulInteger, 0.999", "INT4, MatMulNBits, 0.98"})
    @DisplayName("multiply by integers in all linear layers, and give nearly the reference's outputs")
    void encoder(OnnxPrecision precision, String operator, double least) throws IOException {
        Path base = checkpoint(BERT);
        Path out = export(base, precision);
        GraphProto graph = graph(out);
        assertEquals(12, count(graph, operator));
        // rows of words and positions, each with its scale, and the table of two types
        assertEquals(5, count(graph, "Gather"));
        assertNear(base, out, least);
    }

    @ParameterizedTest
    @CsvSource({"INT8, 0.999", "INT4, 0.97"})
    @DisplayName("of a decoder with weights stored [in, out], and a head that is its embedding table")
    void decoder(OnnxPrecision precision, double least) throws IOException {
        Path base = checkpoint(GPT2);
        assertNear(base, export(base, precision), least);
    }

    private void assertNear(Path base, Path out, double least) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Model model = Model.of(checkpoint);
            ReferenceRunner reference = new ReferenceRunner(model);
            try (OnnxRunner runner = OnnxRunner.open(out, model.architecture().outputName(), Device.CPU)) {
                for (Map<String, Tensor> batch :
                        Inputs.random(model.config(), 6, 1, false).batches()) {
                    DoubleTensor expected = reference.run(batch);
                    double cosine = cosine(expected.values(), runner.run(batch).values());
                    assertTrue(cosine >= least && cosine < 1, "cosine " + cosine);
                }
            }
        }
    }

    private static double cosine(double[] left, double[] right) {
        double product = 0;
        double first = 0;
        double second = 0;
        for (int i = 0; i < left.length; i++) {
            product += left[i] * right[i];
            first += left[i] * left[i];
            second += right[i] * right[i];
        }
        return product / Math.sqrt(first * second);
    }

    @Test
    @DisplayName("in int8 pass verify, which compares every weight with its scale")
    void verifies() throws IOException {
        Path base = checkpoint(BERT);
        Cli.succeeds("verify", "--base", base, "--onnx", export(base, OnnxPrecision.INT8));
    }

    @Test
    @DisplayName("and in float32 store the weights of linear layers as products read them, for tools that quantize")
    void layout() throws IOException {
        Path base = checkpoint(BERT);
        GraphProto graph = graph(export(base, OnnxPrecision.FP32));
        Set<String> weights =
                graph.getInitializerList().stream().map(each -> each.getName()).collect(Collectors.toSet());
        assertEquals(
                0,
                graph.getNodeList().stream()
                        .filter(node -> node.getOpType().equals("Transpose") && weights.contains(node.getInput(0)))
                        .count());
        assertEquals(
                12,
                graph.getNodeList().stream()
                        .filter(node -> node.getOpType().equals("MatMul"))
                        .map(NodeProto::getInputList)
                        .filter(inputs -> weights.contains(inputs.get(1)))
                        .count());
        assertEquals(
                Shape.of(48, 80).dims(),
                graph.getInitializerList().stream()
                        .filter(each -> each.getName().equals("encoder.layer.0.intermediate.dense.weight"))
                        .findFirst()
                        .orElseThrow()
                        .getDimsList());
        Cli.succeeds("verify", "--base", base, "--onnx", folder.resolve("fp32.onnx"));
    }
}
