package dev.adapt.tests.detect;

import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.detect.AveragePrecision;
import dev.adapt.train.detect.Detection;
import dev.adapt.train.detect.Scene;
import dev.adapt.train.detect.Truth;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlRunner;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * A decoder for {@link ShapeScenes}.
 *
 * @param rank of the private parts of LORS; 0 for a plain decoder
 */
public record ShapeDetector(int hidden, int stages, int outPoints, int rank) {
    private static final int BATCH = 50;

    /** Its config. */
    public ModelConfig config() {
        String each = "[" + String.join(", ", Collections.nCopies(stages, "" + rank)) + "]";
        String ones = each.replaceAll("\\d+", "1");
        String lors = """
                "lors": {"ranks": %s, "groups": %s, "projection_ranks": %s},
                """.formatted(each, ones, each);
        String config = """
                {"model_type": "query_decoder", "num_stages": %d, "hidden_size": %d, "num_attention_heads": 4,
                 "intermediate_size": %d, "num_groups": %d, "num_channels": %d, "in_points": %d, "out_points": %d,
                 %s
                 "id2label": {"0": "%s", "1": "%s", "2": "%s"}}
                """.formatted(
                        stages,
                        hidden,
                        2 * hidden,
                        ShapeScenes.GROUPS,
                        ShapeScenes.CHANNELS,
                        ShapeScenes.POINTS,
                        outPoints,
                        rank == 0 ? "" : lors,
                        ShapeScenes.LABELS.get(0),
                        ShapeScenes.LABELS.get(1),
                        ShapeScenes.LABELS.get(2));
        return new ModelConfig(JsonDocument.parse(Path.of("shapes"), config.getBytes(StandardCharsets.UTF_8)));
    }

    /** Its parameters. */
    public long parameters() {
        return Architectures.of(config()).requiredTensors().values().stream()
                .mapToLong(Shape::elements)
                .sum();
    }

    /** Average precision at IoU 0.5 of a decoder's folder, on DJL. */
    public static double ap50(Path folder, List<Scene> scenes) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(folder);
                DjlRunner runner = DjlRunner.open(Model.of(checkpoint), Devices.CPU)) {
            return ap50(runner::run, scenes);
        }
    }

    /** The same of whatever computes predictions. */
    public static double ap50(Function<Map<String, Tensor>, ? extends Tensor> runner, List<Scene> scenes) {
        List<List<Detection>> detections = new ArrayList<>();
        for (int from = 0; from < scenes.size(); from += BATCH) {
            List<Scene> batch = scenes.subList(from, Math.min(scenes.size(), from + BATCH));
            detections.addAll(Detection.of(FloatTensor.of(runner.apply(Scene.inputs(batch))), batch));
        }
        List<List<Truth>> truths = scenes.stream().map(Scene::truths).toList();
        return AveragePrecision.of(detections, truths, 0.5);
    }
}
