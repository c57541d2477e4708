package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.train.data.Batch;
import dev.adapt.train.metric.Confusion;
import dev.adapt.train.metric.Metric;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/** Counts which classes a model finds most likely. */
final class ClassTally implements Task.Tally {
    private static final int TOP = 5;

    private final List<Metric> metrics;
    private final List<long[]> truths = new ArrayList<>();
    private final List<long[]> predictions = new ArrayList<>();
    private int classes;
    private long examples;
    private long nearTop;

    ClassTally(List<Metric> metrics) {
        this.metrics = metrics;
    }

    @Override
    public void add(Unfinished<NDArray> output, Batch batch) {
        long[] truth = Losses.integers(batch.goals());
        NDArray logits = output.output();
        classes = Math.toIntExact(logits.getShape().get(1));
        truths.add(truth);
        predictions.add(logits.argMax(1).toLongArray());
        examples += truth.length;
        if (metrics.contains(Metric.TOP5)) {
            nearTop += within(logits.toFloatArray(), truth);
        }
    }

    /** How many right classes have fewer than five others above them. */
    private long within(float[] logits, long[] truth) {
        long within = 0;
        for (int row = 0; row < truth.length; row++) {
            float own = logits[row * classes + (int) truth[row]];
            int above = 0;
            for (int i = row * classes; i < (row + 1) * classes; i++) {
                above += logits[i] > own ? 1 : 0;
            }
            within += above < TOP ? 1 : 0;
        }
        return within;
    }

    @Override
    public Optional<String> warning() {
        long predicted = distinct(predictions);
        return predicted == 1 && distinct(truths) > 1
                ? Optional.of("only one class is predicted, number "
                        + predictions.getFirst()[0] + ": nothing was learned yet, or the learning rate is too high")
                : Optional.empty();
    }

    private static long distinct(List<long[]> classes) {
        return classes.stream().flatMapToLong(Arrays::stream).distinct().count();
    }

    @Override
    public SequencedMap<Metric, Double> values(double loss) {
        Confusion confusion = new Confusion(classes);
        for (int batch = 0; batch < truths.size(); batch++) {
            long[] truth = truths.get(batch);
            long[] predicted = predictions.get(batch);
            for (int i = 0; i < truth.length; i++) {
                confusion.add((int) truth[i], (int) predicted[i]);
            }
        }
        SequencedMap<Metric, Double> values = new LinkedHashMap<>();
        for (Metric metric : metrics) {
            values.put(
                    metric,
                    switch (metric) {
                        case ACCURACY -> confusion.accuracy();
                        case F1 -> confusion.f1();
                        case MATTHEWS -> confusion.matthews();
                        case TOP5 -> (double) nearTop / examples;
                        case ENTITY_F1, PEARSON, SPEARMAN, NDCG_10, RECALL_1, RECALL_5, RECALL_10, PERPLEXITY ->
                            throw new IllegalArgumentException(metric + " is not of classes");
                    });
        }
        return values;
    }
}
