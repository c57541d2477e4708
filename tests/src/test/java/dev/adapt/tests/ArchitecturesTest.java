package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.input.Inputs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("Every architecture computes the same on DJL, on ONNX Runtime and in float64")
class ArchitecturesTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0}")
    @EnumSource
    void enginesAgree(TinyModel tiny) throws IOException {
        Path home = tiny.write(folder, 11);
        try (Checkpoint checkpoint = Checkpoint.open(home)) {
            Model model = Model.of(checkpoint);
            try (Engines engines = Engines.open(model, home.resolve("model.onnx"))) {
                for (Map<String, Tensor> batch :
                        Inputs.random(model.config(), 12, 3, true).batches()) {
                    DoubleTensor expected = engines.reference().run(batch);
                    assertEquals(
                            model.architecture().outputAxes().size(),
                            expected.shape().rank());
                    Engines.Errors errors = engines.against(expected, batch);
                    assertTrue(errors.largest() <= 1e-5, errors::toString);
                }
            }
        }
    }
}
