package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.LorsMerge;
import dev.adapt.tests.detect.ShapeDetector;
import dev.adapt.tests.detect.ShapeScenes;
import dev.adapt.train.detect.DetectorTrainer;
import dev.adapt.train.detect.Scene;
import dev.adapt.train.device.Devices;
import dev.adapt.verify.compare.Comparison;
import dev.adapt.verify.compare.Equivalence;
import dev.adapt.verify.compare.Tolerance;
import dev.adapt.verify.runner.Runner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A small detector with LORS")
class DetectionTest {
    private static final ShapeDetector LORS = new ShapeDetector(32, 2, 8, 4);
    private static final ShapeDetector PLAIN = new ShapeDetector(32, 2, 8, 0);

    @TempDir
    private Path folder;

    @Test
    @DisplayName("learns to find shapes, and merged and exported finds them as well")
    void learns() throws IOException {
        List<Scene> train = ShapeScenes.draw(400, LORS.hidden(), 1);
        List<Scene> unseen = ShapeScenes.draw(60, LORS.hidden(), 2);
        Path untrained = trained(train, 0, "untrained");
        Path lors = trained(train, 120, "lors");
        Path plain = folder.resolve("plain");
        LorsMerge merged = LorsMerge.run(lors, plain);
        assertEquals(LORS.parameters(), merged.before());
        assertEquals(PLAIN.parameters(), merged.after());
        double before = ShapeDetector.ap50(untrained, unseen);
        double after = ShapeDetector.ap50(lors, unseen);
        System.out.printf(
                Locale.ROOT,
                "detector with LORS, %,d parameters (plain %,d): AP50 %.3f, untrained %.3f%n",
                merged.before(),
                merged.after(),
                after,
                before);
        assertTrue(after > before + 0.15, () -> before + " before, " + after + " after training");
        try (Checkpoint own = Checkpoint.open(lors);
                Checkpoint other = Checkpoint.open(plain);
                Engines unmerged = Engines.open(Model.of(own), lors.resolve("model.onnx"));
                Engines engines = Engines.open(Model.of(other), plain.resolve("model.onnx"))) {
            assertAlike(unmerged, engines, Scene.inputs(unseen.subList(0, 3)));
            assertEquals(after, ShapeDetector.ap50(engines.onnx()::run, unseen), 0.01);
        }
    }

    private Path trained(List<Scene> scenes, int steps, String name) throws IOException {
        Path out = folder.resolve(name);
        DetectorTrainer.train(LORS.config(), scenes, settings(steps, 2e-3), out, (step, loss) -> {});
        return out;
    }

    private static DetectorTrainer.Settings settings(int steps, double rate) {
        return new DetectorTrainer.Settings(steps, 8, rate, 1e-4, 0.05, 1, 3, Devices.CPU);
    }

    private static void assertAlike(Engines unmerged, Engines merged, Map<String, Tensor> inputs) {
        List<Runner> runners = List.of(
                Runner.single("unmerged, float64", unmerged.reference()::run),
                Runner.single(
                        "unmerged, DJL", batch -> DoubleTensor.of(unmerged.djl().run(batch))),
                Runner.single("unmerged, ONNX Runtime", unmerged.onnx()::run),
                Runner.single("merged, float64", merged.reference()::run),
                Runner.single(
                        "merged, DJL", batch -> DoubleTensor.of(merged.djl().run(batch))),
                Runner.single("merged, ONNX Runtime", merged.onnx()::run));
        List<Comparison> comparisons = Equivalence.compare(runners, List.of(inputs), Tolerance.DEFAULT);
        assertEquals(15, comparisons.size());
        comparisons.forEach(comparison -> assertTrue(comparison.passed(), comparison::toString));
    }

    @Test
    @DisplayName("repeats to the bit from one seed, and begins as the plain one where the two are alike")
    void repeats() throws IOException {
        List<Scene> scenes = ShapeScenes.draw(20, LORS.hidden(), 1);
        Path once = trained(scenes, 3, "once");
        Path again = trained(scenes, 3, "again");
        assertEquals(-1, Files.mismatch(once.resolve(Checkpoint.SINGLE), again.resolve(Checkpoint.SINGLE)));
        Path lors = trained(scenes, 0, "lors");
        Path plain = folder.resolve("plain");
        DetectorTrainer.train(PLAIN.config(), scenes, settings(0, 1e-3), plain, (step, loss) -> {});
        String shared = "stages.1.attention.query.weight";
        try (Checkpoint one = Checkpoint.open(lors);
                Checkpoint other = Checkpoint.open(plain)) {
            assertArrayEquals(
                    one.tensors().get(shared).toFloats(),
                    other.tensors().get(shared).toFloats());
        }
    }

    @Test
    @DisplayName("is refused in one sentence where it cannot be, and leaves nothing behind")
    void refuses() throws IOException {
        List<Scene> scenes = ShapeScenes.draw(8, LORS.hidden(), 1);
        Path out = folder.resolve("out");
        UsageException diverged = assertThrows(
                UsageException.class,
                () -> DetectorTrainer.train(LORS.config(), scenes, settings(40, 1e9), out, (step, loss) -> {}));
        assertTrue(diverged.getMessage().contains("lower the learning rate"), diverged::getMessage);
        assertTrue(Files.notExists(out));
        Path plain = folder.resolve("plain");
        DetectorTrainer.train(PLAIN.config(), scenes, settings(0, 1e-3), plain, (step, loss) -> {});
        FormatException alreadyPlain = assertThrows(FormatException.class, () -> LorsMerge.run(plain, out));
        assertTrue(alreadyPlain.getMessage().contains("the decoder is plain already"), alreadyPlain::getMessage);
        Path bert = TinyModel.BERT.write(folder.resolve("bert"), 1);
        FormatException another = assertThrows(FormatException.class, () -> LorsMerge.run(bert, out));
        assertTrue(another.getMessage().contains("model_type: expected \"query_decoder\""), another::getMessage);
        assertTrue(Files.notExists(out));
    }
}
