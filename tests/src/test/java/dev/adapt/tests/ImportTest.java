package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.imports.OnnxImport;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
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
                OnnxRunner original = OnnxRunner.open(onnx, "last_hidden_state", Device.CPU)) {
            ReferenceRunner reference = new ReferenceRunner(Model.of(checkpoint));
            for (Map<String, Tensor> batch :
                    Inputs.random(imported.config(), 4, 1, true).batches()) {
                DoubleTensor expected = reference.run(batch);
                DoubleTensor found = original.run(batch);
                assertEquals(expected.shape(), found.shape());
                assertArrayEquals(expected.values(), found.values(), 1e-5);
            }
        }
    }
}
