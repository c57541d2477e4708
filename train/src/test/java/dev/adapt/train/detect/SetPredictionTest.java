package dev.adapt.train.detect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.GradientCollector;
import dev.adapt.formats.tensor.FloatTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("The loss of a set of predictions")
class SetPredictionTest {
    private static final int QUERIES = 4;
    private static final int CLASSES = 3;
    private static final int WIDTH = CLASSES + Box.NUMBERS;

    private final Random random = new Random(5);
    private final float[] predictions = predictions();

    private float[] predictions() {
        float[] values = new float[2 * QUERIES * WIDTH];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.7f * (float) random.nextGaussian();
        }
        return values;
    }

    /** Two images, the second without objects. */
    private static List<Scene> scenes() {
        List<Box> anchors = new ArrayList<>();
        for (int i = 0; i < QUERIES; i++) {
            anchors.add(new Box(0.2 + 0.2 * i, 0.5, 0.3, 0.3));
        }
        FloatTensor features = new FloatTensor(dev.adapt.formats.tensor.Shape.of(QUERIES, 1, 1, 1), new float[QUERIES]);
        FloatTensor queries = new FloatTensor(dev.adapt.formats.tensor.Shape.of(QUERIES, 1), new float[QUERIES]);
        List<Truth> truths =
                List.of(new Truth(1, new Box(0.3, 0.4, 0.2, 0.3)), new Truth(2, new Box(0.7, 0.6, 0.3, 0.2)));
        return List.of(new Scene(features, queries, anchors, truths), new Scene(features, queries, anchors, List.of()));
    }

    private static List<Matching> pairs(float[] values) {
        return Matching.of(new FloatTensor(dev.adapt.formats.tensor.Shape.of(2, QUERIES, WIDTH), values), scenes());
    }

    /** As its definition reads, in float64. */
    private static double expected(float[] values, List<Matching> pairs) {
        double loss = 0;
        for (int query = 0; query < 2 * QUERIES; query++) {
            for (int label = 0; label < CLASSES; label++) {
                double p = 1 / (1 + Math.exp(-values[query * WIDTH + label]));
                int own = query;
                int ownLabel = label;
                boolean there = pairs.stream()
                        .anyMatch(pair -> pair.query() == own && pair.truth().label() == ownLabel);
                loss += there
                        ? 2 * 0.25 * Math.pow(1 - p, 2) * -Math.log(p)
                        : 2 * 0.75 * Math.pow(p, 2) * -Math.log(1 - p);
            }
        }
        for (Matching pair : pairs) {
            int at = pair.query() * WIDTH + CLASSES;
            Box box = pair.anchor().moved(values[at], values[at + 1], values[at + 2], values[at + 3]);
            loss += 5 * box.distance(pair.truth().box())
                    + 2 * (1 - box.giou(pair.truth().box()));
        }
        return loss / pairs.size();
    }

    @Test
    @DisplayName("is what the definitions give, and so is its gradient")
    void isAsDefined() {
        List<Matching> pairs = pairs(predictions);
        assertEquals(2, pairs.size());
        try (NDManager step = NDManager.newBaseManager("PyTorch");
                GradientCollector collector = Engine.getEngine("PyTorch").newGradientCollector()) {
            NDArray array = step.create(predictions, new Shape(2, QUERIES, WIDTH));
            array.setRequiresGradient(true);
            NDArray loss = SetPrediction.loss(step, array, pairs);
            assertEquals(expected(predictions, pairs), loss.getFloat(), 1e-5);
            collector.backward(loss);
            float[] gradient = array.getGradient().toFloatArray();
            float by = 1e-3f;
            for (int i = 0; i < gradient.length; i++) {
                float[] up = predictions.clone();
                float[] down = predictions.clone();
                up[i] += by;
                down[i] -= by;
                double slope = (expected(up, pairs) - expected(down, pairs)) / ((double) up[i] - down[i]);
                assertEquals(slope, gradient[i], 2e-3, "element " + i);
            }
        }
    }

    @Test
    @DisplayName("of images without objects is that of the classes alone")
    void withoutObjects() {
        try (NDManager step = NDManager.newBaseManager("PyTorch")) {
            NDArray array = step.create(predictions, new Shape(2, QUERIES, WIDTH));
            double own = SetPrediction.loss(step, array, List.of()).getFloat();
            double sum = 0;
            for (int at = 0; at < predictions.length; at += WIDTH) {
                for (int label = 0; label < CLASSES; label++) {
                    double p = 1 / (1 + Math.exp(-predictions[at + label]));
                    sum += 2 * 0.75 * p * p * -Math.log(1 - p);
                }
            }
            assertEquals(sum, own, 1e-5);
        }
    }
}
