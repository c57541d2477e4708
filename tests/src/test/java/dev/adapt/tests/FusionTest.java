package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What ONNX Runtime's optimiser makes of exported graphs: it knows patterns, and the graphs are shaped after them.
 *
 * <p>There is no Attention among them. Its pattern asks for the MatMul of operator set 9 between queries and keys, which set
 * 13 replaced, and for a LayerNormalization of set 1 above the queries (attention_fusion.cc, FuseSubGraphQK and
 * FuseSubGraphQKImpl): no graph of set 13 or later can match, and ours need 17. SimplifiedLayerNormalization is RMSNorm.
 */
@DisplayName("ONNX Runtime's optimiser fuses the exported graphs")
class FusionTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "BERT_CLASSIFIER, SkipLayerNormalization=5 BiasGelu=2 FusedMatMul=2",
        "ROBERTA, SkipLayerNormalization=5 BiasGelu=2 FusedMatMul=2",
        "GPT2, SkipLayerNormalization=1 LayerNormalization=4 FastGelu=2 FusedMatMul=2",
        "LLAMA, SimplifiedLayerNormalization=5 QuickGelu=2 FusedMatMul=2",
        "VIT, SkipLayerNormalization=1 LayerNormalization=4 BiasGelu=2 FusedMatMul=2"
    })
    void fused(TinyModel tiny, String expected) throws IOException, OrtException {
        Path home = tiny.write(folder, 1);
        try (Checkpoint checkpoint = Checkpoint.open(home)) {
            OnnxExport.run(Model.of(checkpoint), home.resolve("model.onnx"), OnnxExport.Weights.LINKED);
        }
        Map<String, Long> found = operators(optimised(home.resolve("model.onnx")));
        Map<String, Long> wanted = new TreeMap<>();
        for (String each : expected.split(" ", -1)) {
            String[] parts = each.split("=", -1);
            wanted.put(parts[0], Long.valueOf(parts[1]));
        }
        Map<String, Long> fused = new TreeMap<>(found);
        fused.keySet().retainAll(wanted.keySet());
        System.out.println(tiny + ": " + found);
        assertEquals(wanted, fused);
    }

    private Path optimised(Path model) throws OrtException {
        Path optimised = folder.resolve("optimised.onnx");
        OrtEnvironment environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
            // fusions that depend on the machine's instruction set come after these
            options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.EXTENDED_OPT);
            options.setOptimizedModelFilePath(optimised.toString());
            environment.createSession(model.toString(), options).close();
        }
        return optimised;
    }

    private static Map<String, Long> operators(Path model) throws IOException {
        return ModelProto.parseFrom(Files.readAllBytes(model)).getGraph().getNodeList().stream()
                .collect(Collectors.groupingBy(NodeProto::getOpType, TreeMap::new, Collectors.counting()));
    }
}
