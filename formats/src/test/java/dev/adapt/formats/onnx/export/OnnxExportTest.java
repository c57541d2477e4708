package dev.adapt.formats.onnx.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxFile;
import dev.adapt.formats.onnx.TinyModel;
import dev.adapt.formats.onnx.export.OnnxExport.Weights;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OnnxExportTest {
    @TempDir
    private Path folder;

    private Path checkpoint;

    @BeforeEach
    void writeCheckpoint() throws IOException {
        checkpoint = TinyModel.write(folder.resolve("model"));
    }

    private OnnxExport export(Path out, Weights weights, long maxEmbedded) throws IOException {
        try (Checkpoint open = Checkpoint.open(checkpoint)) {
            return OnnxExport.run(Model.of(open), out, new OnnxExport.Options(weights), Outputs.fresh(), maxEmbedded);
        }
    }

    /**
     * Every weight in the exported file has the checkpoint's values, those of linear layers transposed where it holds its
     * weights itself; no weight is there that the graph does not read.
     */
    private void assertWeights(Path exported, Weights weights) throws IOException {
        int found = 0;
        try (Checkpoint open = Checkpoint.open(checkpoint);
                OnnxFile file = OnnxFile.open(exported)) {
            for (TensorProto initializer : file.graph().getInitializerList()) {
                if (initializer.getName().startsWith("Constant")) {
                    continue;
                }
                found++;
                String name = initializer.getName();
                TensorView stored = open.tensors().get(name);
                boolean linear = stored.shape().rank() == 2 && !name.contains("embeddings");
                assertArrayEquals(
                        linear && weights == Weights.OWN
                                ? FloatTensor.of(stored).transposed().toBytes().array()
                                : stored.data().toArray(ValueLayout.JAVA_BYTE),
                        file.tensor(name, initializer).data().toArray(ValueLayout.JAVA_BYTE));
            }
            assertEquals(open.tensors().size() - 2, found, "all but the pooler's two");
        }
    }

    private static List<TensorProto> external(Path exported) throws IOException {
        try (OnnxFile file = OnnxFile.open(exported)) {
            return file.graph().getInitializerList().stream()
                    .filter(tensor -> tensor.getDataLocation() == TensorProto.DataLocation.EXTERNAL)
                    .toList();
        }
    }

    @Test
    void linkedWeightsStayInTheCheckpoint() throws IOException {
        byte[] before = Files.readAllBytes(checkpoint.resolve(Checkpoint.SINGLE));
        Path out = checkpoint.resolve("model.onnx");
        OnnxExport exported = export(out, Weights.LINKED, Long.MAX_VALUE);
        assertWeights(out, Weights.LINKED);
        assertTrue(exported.data().isEmpty());
        external(out)
                .forEach(tensor -> assertEquals(
                        Checkpoint.SINGLE, tensor.getExternalData(0).getValue()));
        assertArrayEquals(before, Files.readAllBytes(checkpoint.resolve(Checkpoint.SINGLE)));
    }

    @Test
    void aModelAboveTheCheckpointNamesItsFolder() throws IOException {
        Path out = folder.resolve("model.onnx");
        export(out, Weights.LINKED, Long.MAX_VALUE);
        assertWeights(out, Weights.LINKED);
        external(out)
                .forEach(tensor -> assertEquals(
                        "model/" + Checkpoint.SINGLE, tensor.getExternalData(0).getValue()));
    }

    @Test
    void weightsOutsideTheModelsFolderAreRefused() throws IOException {
        Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
        UsageException refusal = assertThrows(
                UsageException.class, () -> export(elsewhere.resolve("model.onnx"), Weights.LINKED, Long.MAX_VALUE));
        assertTrue(refusal.getMessage().contains("--self-contained"), refusal.getMessage());
        assertTrue(refusal.getMessage().contains("--out " + checkpoint.resolve("model.onnx")), refusal.getMessage());
        try (Stream<Path> left = Files.list(elsewhere)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {Checkpoint.SINGLE, ModelConfig.FILE, "model"})
    void noInputIsOverwritten(String name) throws IOException {
        Path out = checkpoint.resolve(name);
        byte[] before = Files.exists(out) ? Files.readAllBytes(out) : new byte[0];
        assertThrows(UsageException.class, () -> export(out, Weights.LINKED, Long.MAX_VALUE));
        assertArrayEquals(before, Files.exists(out) ? Files.readAllBytes(out) : new byte[0]);
    }

    @Test
    void ownWeightsAreEmbedded() throws IOException {
        Path out = folder.resolve("elsewhere").resolve("model.onnx");
        OnnxExport exported = export(out, Weights.OWN, Long.MAX_VALUE);
        assertWeights(out, Weights.OWN);
        assertEquals(List.of(), external(out));
        assertTrue(exported.data().isEmpty());
    }

    @Test
    void ownWeightsTooLargeToEmbedGoToAFileOfTheirOwnAligned() throws IOException {
        Path out = folder.resolve("elsewhere").resolve("model.onnx");
        OnnxExport exported = export(out, Weights.OWN, 1000);
        assertEquals(Optional.of(out.resolveSibling("model.onnx_data")), exported.data());
        assertWeights(out, Weights.OWN);
        for (TensorProto tensor : external(out)) {
            assertEquals("model.onnx_data", tensor.getExternalData(0).getValue());
            assertEquals(0, Long.parseLong(tensor.getExternalData(1).getValue()) % 256);
        }
    }
}
