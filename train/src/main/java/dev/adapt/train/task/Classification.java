package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Shown;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Metric;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Texts, or pairs of texts, into classes: a head of one logit per class, trained by cross-entropy. */
public record Classification(Dataset.Columns columns) implements Task {
    @Override
    public String name() {
        return "classification";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.ACCURACY, Metric.F1, Metric.MATTHEWS);
    }

    @Override
    public Data read(Path train, Optional<Path> eval, Source source) throws IOException {
        Dataset own = Dataset.read(train, columns);
        List<String> labels = own.labels();
        requireTwo(labels, train);
        Optional<Examples> dev = Optional.empty();
        if (eval.isPresent()) {
            Dataset held = Dataset.read(eval.get(), own.columns());
            dev = Optional.of(Encoded.of(held, Encoded.classes(held.classes(labels)), source));
        }
        return new Data(
                        Encoded.of(own, Encoded.classes(own.classes(labels)), source),
                        dev,
                        labels,
                        List.of(
                                own.layout(),
                                Task.counted(own.examples().stream()
                                        .map(Example::label)
                                        .toList())))
                .in(own.columns());
    }

    static void requireTwo(List<String> labels, Path train) {
        if (labels.size() < 2) {
            throw new UsageException(
                    "data " + train,
                    "expected at least two different labels, found only \"" + Shown.of(labels.getFirst()) + "\"");
        }
    }

    @Override
    public double loss(NDArrayOps ops, Unfinished<NDArray> output, Batch batch, Gradients gradients) {
        NDArray mean = Losses.crossEntropy(ops.manager(), output.output(), Losses.integers(batch.goals()));
        gradients.last(ops.manager(), mean);
        return mean.getFloat();
    }

    @Override
    public Tally tally(List<String> labels) {
        return new ClassTally(metrics());
    }
}
