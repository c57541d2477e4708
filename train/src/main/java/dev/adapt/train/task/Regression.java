package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Lines;
import dev.adapt.train.data.Shown;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Correlation;
import dev.adapt.train.metric.Metric;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/** A number for a text, or for a pair of texts: a head of one output, trained by squared error. */
public record Regression(Dataset.Columns columns) implements Task {
    /** transformers' name for the one output. */
    private static final List<String> LABELS = List.of("LABEL_0");

    @Override
    public String name() {
        return "regression";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.PEARSON, Metric.SPEARMAN);
    }

    @Override
    public Data read(Path train, Optional<Path> eval, Source source) throws IOException {
        Dataset own = Dataset.read(train, columns);
        Optional<Examples> dev = Optional.empty();
        if (eval.isPresent()) {
            Dataset held = Dataset.read(eval.get(), own.columns());
            dev = Optional.of(Encoded.of(held, Encoded.numbers(numbers(held)), source));
        }
        return new Data(Encoded.of(own, Encoded.numbers(numbers(own)), source), dev, LABELS, List.of(own.layout()))
                .in(own.columns());
    }

    /** The labels as numbers. */
    public static List<Double> numbers(Dataset data) {
        List<Double> numbers = new ArrayList<>();
        for (Example example : data.examples()) {
            double number;
            try {
                number = Double.parseDouble(example.label());
            } catch (NumberFormatException e) {
                number = Double.NaN;
            }
            if (!Double.isFinite(number)) {
                throw Lines.fault(
                        data.file(),
                        example.line(),
                        "has the label \"" + Shown.of(example.label())
                                + "\", expected a number to learn by regression");
            }
            numbers.add(number);
        }
        return numbers;
    }

    @Override
    public double loss(NDArrayOps ops, Unfinished<NDArray> output, Batch batch, Gradients gradients) {
        NDArray mean = Losses.squaredError(
                ops.manager(), output.output(), batch.goals().toFloats());
        gradients.last(ops.manager(), mean);
        return mean.getFloat();
    }

    @Override
    public Tally tally(List<String> labels) {
        List<Double> predicted = new ArrayList<>();
        List<Double> truth = new ArrayList<>();
        return new Tally() {
            @Override
            public void add(Unfinished<NDArray> output, Batch batch) {
                for (float value : output.output().toFloatArray()) {
                    predicted.add((double) value);
                }
                for (float value : batch.goals().toFloats()) {
                    truth.add((double) value);
                }
            }

            @Override
            public SequencedMap<Metric, Double> values(double loss) {
                return Correlation.both(predicted, truth);
            }
        };
    }
}
