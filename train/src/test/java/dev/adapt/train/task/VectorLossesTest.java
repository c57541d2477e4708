package dev.adapt.train.task;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.training.GradientCollector;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName(
        "Losses of vectors give the values of their definitions in float64, and gradients that finite differences confirm")
class VectorLossesTest {
    private static final int WIDTH = 6;
    private static final double TEMPERATURE = 0.05;

    private static TextVectors vectors(Integer... dimensions) {
        return new TextVectors(new SentenceModules(Pooling.MEAN, true), List.of(dimensions));
    }

    /** Rows of vectors, and which of them each share of the batch has with its goals. */
    private record Given(List<double[]> rows, List<int[]> shares, List<Tensor> goals) {}

    /** Four pairs, of which two have the same score: rows 0 to 3 are the first texts, 4 to 7 the second. */
    private static Given pairs(boolean apart) {
        float[] scores = {4.2f, 1, 2.5f, 1};
        List<double[]> rows = random(8);
        return apart
                ? new Given(
                        rows,
                        List.of(new int[] {0, 2, 4, 6}, new int[] {1, 3, 5, 7}),
                        List.of(numbers(4.2f, 2.5f), numbers(1, 1)))
                : new Given(rows, List.of(new int[] {0, 1, 2, 3, 4, 5, 6, 7}), List.of(numbers(scores)));
    }

    private static FloatTensor numbers(float... values) {
        return new FloatTensor(Shape.of(values.length), values);
    }

    private static List<double[]> random(int count) {
        Random random = new Random(7);
        List<double[]> rows = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            // values that float32 has, so that the rounding of inputs is no difference
            rows.add(random.doubles(WIDTH, -1, 1).map(x -> (float) x).toArray());
        }
        return rows;
    }

    private static double cosine(double[] left, double[] right, int width) {
        double product = 0;
        double ofLeft = 0;
        double ofRight = 0;
        for (int i = 0; i < width; i++) {
            product += left[i] * right[i];
            ofLeft += left[i] * left[i];
            ofRight += right[i] * right[i];
        }
        return product / Math.sqrt(ofLeft * ofRight);
    }

    /** sentence-transformers' CoSENTLoss: log(1 + Σ exp(20·(cosⱼ − cosᵢ))) over scoreᵢ > scoreⱼ. */
    private static double cosent(List<double[]> rows, int width) {
        double[] scores = {4.2f, 1, 2.5f, 1};
        double sum = 1;
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 4; j++) {
                if (scores[i] > scores[j]) {
                    double difference =
                            cosine(rows.get(j), rows.get(4 + j), width) - cosine(rows.get(i), rows.get(4 + i), width);
                    sum += Math.exp(20 * difference);
                }
            }
        }
        return Math.log(sum);
    }

    @Test
    @DisplayName("CoSENT, of a batch in one share and in two")
    void cosent() {
        Similarity task = new Similarity(Dataset.Columns.UNKNOWN, vectors(), Similarity.Loss.COSENT, TEMPERATURE);
        for (boolean apart : new boolean[] {false, true}) {
            check(task, pairs(apart), rows -> cosent(rows, WIDTH));
        }
    }

    @Test
    @DisplayName("CoSENT of vectors that are cut too is the sum over all sizes")
    void matryoshka() {
        Similarity task = new Similarity(Dataset.Columns.UNKNOWN, vectors(4, 2), Similarity.Loss.COSENT, TEMPERATURE);
        check(task, pairs(true), rows -> cosent(rows, WIDTH) + cosent(rows, 4) + cosent(rows, 2));
    }

    @Test
    @DisplayName("the square of cosine less score")
    void cosineError() {
        Similarity task = new Similarity(Dataset.Columns.UNKNOWN, vectors(), Similarity.Loss.COSINE, TEMPERATURE);
        double[] scores = {4.2f, 1, 2.5f, 1};
        check(task, pairs(false), rows -> {
            double sum = 0;
            for (int i = 0; i < 4; i++) {
                sum += Math.pow(cosine(rows.get(i), rows.get(4 + i), WIDTH) - scores[i], 2);
            }
            return sum / 4;
        });
    }

    /** sentence-transformers' MultipleNegativesRankingLoss: cross-entropy of 20·cos, the own passage first among all. */
    private static double infoNce(
            List<double[]> rows, int[] questions, int[] passages, boolean[][] without, int width) {
        double sum = 0;
        for (int i = 0; i < questions.length; i++) {
            double all = 0;
            for (int j = 0; j < passages.length; j++) {
                all += without[i][j] ? 0 : Math.exp(20 * cosine(rows.get(questions[i]), rows.get(passages[j]), width));
            }
            sum += Math.log(all) - 20 * cosine(rows.get(questions[i]), rows.get(passages[i]), width);
        }
        return sum / questions.length;
    }

    private static LongTensor goals(int width, long... values) {
        return new LongTensor(Shape.of(values.length / width, width), values);
    }

    @Test
    @DisplayName("InfoNCE with passages that do not answer, of a batch in one share and in two")
    void infoNce() {
        Retrieval task = new Retrieval(Dataset.Columns.UNKNOWN, vectors(3), TEMPERATURE);
        boolean[][] without = new boolean[3][5];
        // rows 0-2 ask, 3-5 answer, 6 and 7 do not
        Given whole = new Given(
                random(8),
                List.of(new int[] {0, 1, 2, 3, 4, 5, 6, 7}),
                List.of(goals(4, 0, 0, 3, 4, 1, 1, -1, -1, 2, 2, -1, -1)));
        ToDoubleFunction<List<double[]>> expected =
                rows -> infoNce(rows, new int[] {0, 1, 2}, new int[] {3, 4, 5, 6, 7}, without, WIDTH)
                        + infoNce(rows, new int[] {0, 1, 2}, new int[] {3, 4, 5, 6, 7}, without, 3);
        check(task, whole, expected);
        Given shared = new Given(
                random(8),
                List.of(new int[] {0, 1, 3, 4, 6, 7}, new int[] {2, 5}),
                List.of(goals(4, 0, 0, 3, 4, 1, 1, -1, -1), goals(4, 2, 2, -1, -1)));
        check(task, shared, expected);
    }

    @Test
    @DisplayName("InfoNCE leaves out passages that answer too, or are the same text")
    void falseNegatives() {
        Retrieval task = new Retrieval(Dataset.Columns.UNKNOWN, vectors(), TEMPERATURE);
        // questions 0 and 1 are the same, with two passages; questions 1 and 2 have the same passage
        Given given = new Given(random(6), List.of(new int[] {0, 1, 2, 3, 4, 5}), List.of(goals(2, 0, 0, 0, 1, 1, 1)));
        boolean[][] without = {{false, true, false}, {true, false, true}, {false, true, false}};
        check(task, given, rows -> infoNce(rows, new int[] {0, 1, 2}, new int[] {3, 4, 5}, without, WIDTH));
    }

    private static void check(VectorTask task, Given given, ToDoubleFunction<List<double[]>> expected) {
        try (NDManager manager = NDManager.newBaseManager();
                GradientCollector _ = Engine.getInstance().newGradientCollector()) {
            NDArrayOps ops = new NDArrayOps(manager, Optional.empty());
            List<VectorTask.Share> shares = new ArrayList<>();
            for (int i = 0; i < given.shares().size(); i++) {
                NDArray rows = ops.constant(rows(given.rows(), given.shares().get(i)));
                rows.setRequiresGradient(true);
                shares.add(new VectorTask.Share(rows, given.goals().get(i)));
            }
            NDArray loss = task.loss(ops, shares);
            double value = expected.applyAsDouble(given.rows());
            assertEquals(value, loss.getFloat(), 1e-5 * Math.max(1, Math.abs(value)));
            new Gradients(true, 1, false).last(manager, loss);
            for (int i = 0; i < shares.size(); i++) {
                float[] gradient = shares.get(i).vectors().getGradient().toFloatArray();
                int[] own = given.shares().get(i);
                for (int at = 0; at < gradient.length; at++) {
                    double slope = slope(given.rows(), own[at / WIDTH], at % WIDTH, expected);
                    assertEquals(slope, gradient[at], 1e-4 * Math.max(1, Math.abs(slope)));
                }
                assertEquals(own.length * WIDTH, gradient.length);
            }
        }
    }

    private static FloatTensor rows(List<double[]> all, int[] chosen) {
        float[] values = new float[chosen.length * WIDTH];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) all.get(chosen[i / WIDTH])[i % WIDTH];
        }
        return new FloatTensor(Shape.of(chosen.length, WIDTH), values);
    }

    private static double slope(List<double[]> rows, int row, int column, ToDoubleFunction<List<double[]>> function) {
        double step = 1e-5;
        double before = rows.get(row)[column];
        rows.get(row)[column] = before + step;
        double above = function.applyAsDouble(rows);
        rows.get(row)[column] = before - step;
        double below = function.applyAsDouble(rows);
        rows.get(row)[column] = before;
        return (above - below) / (2 * step);
    }
}
