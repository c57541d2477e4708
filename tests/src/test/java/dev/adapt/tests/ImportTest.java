package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxImport;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The MiniLM of Maven Central, imported. */
class ImportTest {
    @TempDir
    private Path folder;

    private Path resource(String name) throws IOException {
        Path file = folder.resolve(name);
        try (InputStream in = Objects.requireNonNull(ImportTest.class.getResourceAsStream("/" + name))) {
            Files.copy(in, file);
        }
        return file;
    }

    @Test
    void importedMiniLmComputesWhatTheOnnxModelDoes() throws Exception {
        Path onnx = resource("all-minilm-l6-v2.onnx");
        Path tokenizer = resource("all-minilm-l6-v2-tokenizer.json");
        Path out = folder.resolve("minilm");
        OnnxImport imported = OnnxImport.run(onnx, Optional.of(tokenizer), out);

        assertEquals(101, imported.tensors());
        assertEquals(12, imported.config().document().positive("num_attention_heads"));
        assertEquals(1e-12, imported.config().document().number("layer_norm_eps", 0));
        assertEquals("gelu", imported.config().document().string("hidden_act").orElseThrow());
        assertArrayEquals(Files.readAllBytes(tokenizer), Files.readAllBytes(out.resolve("tokenizer.json")));
        try (Checkpoint checkpoint = Checkpoint.open(out);
                OrtModel original = new OrtModel(onnx)) {
            Map<String, LongTensor> inputs = ModelInputs.random(new Random(1), 2, 9, 30522);
            DoubleTensor expected = ModelInputs.reference(Model.of(checkpoint), inputs);
            FloatTensor found = original.run(inputs);
            assertEquals(expected.shape(), found.shape());
            assertArrayEquals(expected.toFloats(), found.values(), 1e-5f);
        }
    }
}
