package dev.adapt.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.adapt.formats.UsageException;
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
    public Data read(Path train, Path eval, Source source) throws IOException {
        Dataset own = Dataset.read(train, columns);
        Dataset dev = Dataset.read(eval, own.columns());
        List<String> labels = own.labels();
        requireTwo(labels, train);
        return new Data(
                Encoded.of(own, Encoded.classes(own.classes(labels)), source),
                Encoded.of(dev, Encoded.classes(dev.classes(labels)), source),
                Optional.of(labels));
    }

    static void requireTwo(List<String> labels, Path train) {
        if (labels.size() < 2) {
            throw new UsageException(
                    "data " + train,
                    "expected at least two different labels, found only \"" + Shown.of(labels.getFirst()) + "\"");
        }
    }

    @Override
    public NDArray loss(NDManager step, NDArray output, Batch batch) {
        return Losses.crossEntropy(step, output, Losses.integers(batch.goals()));
    }

    @Override
    public Tally tally(List<String> labels) {
        return new ClassTally(metrics());
    }
}
