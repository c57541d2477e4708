package dev.adapt.cli.export;

import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlRunner;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.predict.Evaluation;
import dev.adapt.train.predict.Prediction;
import dev.adapt.train.predict.Predictor;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * How near an exported model comes to its checkpoint in float32: in its size, and in what it computes.
 *
 * @param model the checkpoint, without its head where the export has none
 * @param folder with its tokenizer
 */
record ExportComparison(Model model, Path folder, SentenceModules vectors, OnnxExport exported) {
    private static final int BATCH = 32;
    private static final int LONGEST = 512;
    private static final int SAMPLES = 16;

    void print(Optional<Path> data) throws IOException {
        long weights = model.architecture().requiredTensors().values().stream()
                        .mapToLong(shape -> shape.elements())
                        .sum()
                * Float.BYTES;
        long size = Files.size(exported.model())
                + (exported.data().isPresent() ? Files.size(exported.data().get()) : 0);
        Terminal.line("size %s, in float32 %s", new Bytes(size), new Bytes(weights));
        try (OnnxRunner found =
                        OnnxRunner.open(exported.model(), model.architecture().outputName(), Device.CPU);
                DjlRunner expected = DjlRunner.open(model, Devices.CPU)) {
            if (data.isEmpty()) {
                samples(found, expected);
            } else {
                texts(found, expected, data.get());
            }
        }
    }

    private void samples(OnnxRunner found, DjlRunner expected) {
        Cosines cosines = new Cosines();
        for (Map<String, Tensor> batch :
                Inputs.random(model.config(), SAMPLES, 0, false).batches()) {
            DoubleTensor right = DoubleTensor.of(expected.run(batch));
            DoubleTensor ours = found.run(batch);
            double[] mask = DoubleTensor.of(Objects.requireNonNull(batch.get(InputSpec.MASK.name())))
                    .values();
            int rows = Math.toIntExact(right.shape().dim(0));
            for (int row = 0; row < rows; row++) {
                if (Arrays.stream(mask, row * mask.length / rows, (row + 1) * mask.length / rows)
                                .sum()
                        > 0) {
                    cosines.add(kept(right, mask, row), kept(ours, mask, row));
                }
            }
        }
        Terminal.line(
                "on %d sequences of random tokens: %s; --data FILE compares on your own texts", cosines.count, cosines);
    }

    /** A row of the output, without the states of padding. */
    private static double[] kept(DoubleTensor output, double[] mask, int row) {
        int rows = Math.toIntExact(output.shape().dim(0));
        int tokens = mask.length / rows;
        int width = output.values().length / rows;
        double[] own = Arrays.copyOfRange(output.values(), row * width, (row + 1) * width);
        if (output.shape().rank() == 3) {
            int each = width / tokens;
            for (int i = 0; i < own.length; i++) {
                own[i] *= mask[row * tokens + i / each];
            }
        }
        return own;
    }

    private void texts(OnnxRunner found, DjlRunner expected, Path data) throws IOException {
        try (Predictor ours = predictor(found::run);
                Predictor right = predictor(inputs -> DoubleTensor.of(expected.run(inputs)))) {
            if (!ours.labels().isEmpty()) {
                Evaluation exact = Evaluation.of(right, data, Dataset.Columns.UNKNOWN);
                Evaluation rounded = Evaluation.of(ours, data, Dataset.Columns.UNKNOWN);
                for (Map.Entry<Metric, Double> figure : rounded.figures().entrySet()) {
                    Terminal.line(
                            "on %d examples of %s: %s %.4f, in float32 %.4f",
                            rounded.examples(),
                            data,
                            figure.getKey().label(),
                            figure.getValue(),
                            exact.figures().getOrDefault(figure.getKey(), Double.NaN));
                }
                return;
            }
            Dataset texts = Dataset.readTexts(data, Dataset.Columns.UNKNOWN);
            Cosines cosines = new Cosines();
            List<double[]> exact = vectors(right, texts);
            List<double[]> rounded = vectors(ours, texts);
            for (int i = 0; i < exact.size(); i++) {
                cosines.add(exact.get(i), rounded.get(i));
            }
            Terminal.line("on %d texts of %s: %s", cosines.count, data, cosines);
        }
    }

    private Predictor predictor(Predictor.Engine engine) throws IOException {
        Predictor.Vectors kind = new Predictor.Vectors(vectors, Optional.empty());
        return Predictor.of(engine, model.config(), folder, kind, BATCH, LONGEST);
    }

    private static List<double[]> vectors(Predictor predictor, Dataset texts) {
        List<double[]> vectors = new ArrayList<>();
        for (Prediction each :
                predictor.predict(texts.examples().stream().map(Example::text).toList())) {
            if (each instanceof Prediction.Embedding(double[] values)) {
                vectors.add(values);
            }
        }
        return vectors;
    }

    /** The mean and the least cosine of pairs of vectors. */
    private static final class Cosines {
        private int count;
        private double sum;
        private double least = 1;

        void add(double[] left, double[] right) {
            double cosine = dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right));
            count++;
            sum += cosine;
            least = Math.min(least, cosine);
        }

        private static double dot(double[] left, double[] right) {
            double sum = 0;
            for (int i = 0; i < left.length; i++) {
                sum += left[i] * right[i];
            }
            return sum;
        }

        @Override
        public String toString() {
            return String.format(Locale.ROOT, "cosine with float32 %.4f, least %.4f", sum / count, least);
        }
    }
}
