package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.LabelledWords;
import dev.adapt.train.data.Shown;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Entities;
import dev.adapt.train.metric.Metric;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * A class for each word, such as the entity it belongs to: a head of one logit per class on each token, trained by
 * cross-entropy on the first token of each word. What the files may hold is said at {@link LabelledWords}.
 *
 * @param columns the text column holds the words
 */
public record TokenClassification(Dataset.Columns columns) implements Task {
    @Override
    public String name() {
        return "token-classification";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.ENTITY_F1, Metric.ACCURACY);
    }

    @Override
    public Optional<Pooling> pooling() {
        return Optional.of(Pooling.TOKENS);
    }

    @Override
    public Data read(Path train, Optional<Path> eval, Source source) throws IOException {
        LabelledWords own = LabelledWords.read(train, columns);
        List<String> labels = own.labels();
        Classification.requireTwo(labels, train);
        Optional<Examples> dev = Optional.empty();
        if (eval.isPresent()) {
            dev = Optional.of(WordExamples.of(LabelledWords.read(eval.get(), columns), labels, source));
        }
        return new Data(WordExamples.of(own, labels, source), dev, labels, List.of("labels: " + Shown.of(labels)));
    }

    @Override
    public double loss(NDArrayOps ops, Unfinished<NDArray> output, Batch batch, Gradients gradients) {
        Losses.Places places = Losses.Places.of(batch);
        NDArray mean = Losses.crossEntropy(ops.manager(), places.rows(ops, output.output()), places.classes());
        gradients.last(ops.manager(), mean);
        return mean.getFloat();
    }

    @Override
    public Tally tally(List<String> labels) {
        return new WordTally(labels);
    }

    /** Counts right words and right entities. */
    private static final class WordTally implements Tally {
        private final List<String> labels;
        private final Entities.Count entities = new Entities.Count();
        private long words;
        private long right;

        WordTally(List<String> labels) {
            this.labels = labels;
        }

        @Override
        public void add(Unfinished<NDArray> result, Batch batch) {
            NDArray output = result.output();
            long width = output.getShape().get(1);
            long[] predicted;
            try (NDArray largest = output.argMax(2)) {
                predicted = largest.toLongArray();
            }
            long[] goals = Losses.integers(batch.goals());
            List<String> truth = new ArrayList<>();
            List<String> found = new ArrayList<>();
            for (int i = 0; i < goals.length; i += 2) {
                truth.add(labels.get((int) goals[i + 1]));
                found.add(labels.get((int) predicted[(int) goals[i]]));
                words++;
                right += goals[i + 1] == predicted[(int) goals[i]] ? 1 : 0;
                boolean last = i + 2 == goals.length || goals[i + 2] / width != goals[i] / width;
                if (last) {
                    entities.add(truth, found);
                    truth.clear();
                    found.clear();
                }
            }
        }

        @Override
        public SequencedMap<Metric, Double> values(double loss) {
            SequencedMap<Metric, Double> values = new LinkedHashMap<>();
            values.put(Metric.ENTITY_F1, entities.f1());
            values.put(Metric.ACCURACY, (double) right / words);
            return values;
        }
    }
}
