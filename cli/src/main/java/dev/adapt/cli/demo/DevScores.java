package dev.adapt.cli.demo;

import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.predict.Evaluation;
import dev.adapt.train.predict.Prediction;
import dev.adapt.train.predict.Predictor;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * What an exported model makes of the dev set in ONNX Runtime, one text at a time, and how long it takes beside the base.
 *
 * @param mistakes those the model is most certain of first
 */
record DevScores(Evaluation evaluation, List<Mistake> mistakes, Latency base, Latency merged) {
    /** Tokens that a request is cut off after; none is as long. */
    private static final int LONGEST = 128;

    /**
     * A text that is not classified right.
     *
     * @param probability of the class that was predicted
     */
    record Mistake(String text, String label, String predicted, double probability) {}

    /** Milliseconds that one text takes. */
    record Latency(double median, double percentile95) {
        static Latency of(List<Double> times) {
            List<Double> sorted = times.stream().sorted().toList();
            return new Latency(sorted.get(sorted.size() / 2), sorted.get((int) (0.95 * (sorted.size() - 1))));
        }
    }

    DevScores {
        mistakes = List.copyOf(mistakes);
    }

    double accuracy() {
        return evaluation.figures().getOrDefault(Metric.ACCURACY, Double.NaN);
    }

    /** The 95% interval of the accuracy (Wilson's score interval): its two ends. */
    List<Double> interval() {
        double z = 1.96;
        double n = evaluation.examples();
        double middle = accuracy() + z * z / (2 * n);
        double half = z * Math.sqrt(accuracy() * (1 - accuracy()) / n + z * z / (4 * n * n));
        return List.of((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n));
    }

    /**
     * Runs both models on the dev set. Each text runs through both in turn, first through the one and then through the
     * other, so that what else the machine does meets both alike.
     *
     * @param base the exported encoder
     * @param merged the exported classifier, beside its config.json and tokenizer.json
     */
    static DevScores of(Path base, Path merged, Path dev) throws IOException {
        Path folder = merged.toAbsolutePath().resolveSibling("");
        Predictor.Vectors vectors = new Predictor.Vectors(new SentenceModules(Pooling.MEAN, false), Optional.empty());
        Dataset data = Dataset.read(dev, Dataset.Columns.UNKNOWN);
        List<Double> ofBase = new ArrayList<>();
        List<Double> ofMerged = new ArrayList<>();
        try (OnnxRunner encoder = OnnxRunner.open(base, Device.CPU);
                OnnxRunner classifier = OnnxRunner.open(merged, "logits", Device.CPU);
                Predictor predictor = Predictor.of(
                        inputs -> {
                            boolean baseFirst = ofBase.size() % 2 == 0;
                            if (baseFirst) {
                                timed(() -> encoder.run(inputs), ofBase);
                            }
                            DoubleTensor logits = timed(() -> classifier.run(inputs), ofMerged);
                            if (!baseFirst) {
                                timed(() -> encoder.run(inputs), ofBase);
                            }
                            return logits;
                        },
                        ModelConfig.read(folder.resolve(ModelConfig.FILE)),
                        folder,
                        vectors,
                        1,
                        LONGEST)) {
            // also warms both up
            Evaluation evaluation = Evaluation.of(predictor, dev, Dataset.Columns.UNKNOWN);
            ofBase.clear();
            ofMerged.clear();
            List<Prediction> predictions = predictor.predict(
                    data.examples().stream().map(Example::text).toList());
            return new DevScores(
                    evaluation, mistakes(data.examples(), predictions), Latency.of(ofBase), Latency.of(ofMerged));
        }
    }

    private interface Run {
        DoubleTensor run();
    }

    private static DoubleTensor timed(Run run, List<Double> times) {
        long start = System.nanoTime();
        DoubleTensor output = run.run();
        times.add((System.nanoTime() - start) / 1e6);
        return output;
    }

    private static List<Mistake> mistakes(List<Example> examples, List<Prediction> predictions) {
        List<Mistake> mistakes = new ArrayList<>();
        for (int i = 0; i < examples.size(); i++) {
            Example example = examples.get(i);
            if (predictions.get(i) instanceof Prediction.Classes own
                    && !own.labels().getFirst().equals(example.label())) {
                String predicted = own.labels().getFirst();
                mistakes.add(new Mistake(
                        example.text().shown(),
                        example.label(),
                        predicted,
                        own.scores().getOrDefault(predicted, Double.NaN)));
            }
        }
        mistakes.sort(Comparator.comparingDouble(Mistake::probability).reversed());
        return mistakes;
    }
}
