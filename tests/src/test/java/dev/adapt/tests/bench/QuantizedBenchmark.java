package dev.adapt.tests.bench;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.predict.Evaluation;
import dev.adapt.train.predict.Prediction;
import dev.adapt.train.predict.Predictor;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** A model exported in float32, int8 and int4: what each costs and computes. */
@Command(
        name = "tests/bench/quantized",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Exports a checkpoint, self-contained, in float32, int8 and int4, and prints for each its size, the median",
            "milliseconds of one text on one thread (the three in turn, in each round), and, on the texts of --data, the",
            "mean and least cosine with float32's vectors, or for a classifier its accuracy.",
            "Float32 is what `export-onnx --self-contained` writes: --export FILE adds a model made otherwise."
        })
final class QuantizedBenchmark implements Callable<Integer> {
    @Option(names = "--base", required = true, paramLabel = "DIR", description = "the checkpoint, with its tokenizer")
    private Path base = Path.of("");

    @Option(names = "--data", required = true, paramLabel = "FILE", description = "texts, with labels for a classifier")
    private Path data = Path.of("");

    @Option(names = "--export", paramLabel = "FILE", description = "another form of the same model to measure")
    private List<Path> others = new ArrayList<>();

    @Option(names = "--runs", paramLabel = "N", description = "rounds measured, after a tenth as many to warm up")
    private int runs = 100;

    @Option(names = "--tokens", paramLabel = "N", description = "in the one text of a run")
    private int tokens = 64;

    private QuantizedBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new QuantizedBenchmark()).execute(args));
    }

    @Override
    public Integer call() throws IOException, OrtException {
        Path work = Files.createTempDirectory("adapt-bench");
        List<Path> forms = new ArrayList<>();
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Model model = Model.of(checkpoint);
            for (OnnxPrecision precision : List.of(OnnxPrecision.FP32, OnnxPrecision.INT8, OnnxPrecision.INT4)) {
                Path form = work.resolve(precision + ".onnx");
                OnnxExport.run(model, form, new OnnxExport.Options(OnnxExport.Weights.OWN, precision, false, false));
                forms.add(form);
            }
            forms.addAll(others);
            report(model, forms, milliseconds(model, forms));
        } finally {
            for (String name : List.of("fp32.onnx", "int8.onnx", "int4.onnx", "")) {
                Files.deleteIfExists(work.resolve(name));
            }
        }
        return 0;
    }

    private void report(Model model, List<Path> forms, double[] milliseconds) throws IOException {
        List<double[]> vectors = List.of();
        System.out.printf("%-12s %10s %12s   %s%n", "", "MB", "ms a text", "on " + data);
        for (int form = 0; form < forms.size(); form++) {
            Path path = forms.get(form);
            String output = model.architecture().outputName();
            String quality;
            try (OnnxRunner runner = OnnxRunner.open(path, output, Device.CPU);
                    Predictor predictor = Predictor.of(
                            runner::run,
                            model.config(),
                            base,
                            new Predictor.Vectors(new SentenceModules(Pooling.MEAN, true), Optional.empty()),
                            32,
                            512)) {
                if (!predictor.labels().isEmpty()) {
                    Dataset.Columns columns = new Dataset.Columns(List.of(), Optional.empty(), Optional.empty());
                    Evaluation evaluation = Evaluation.of(predictor, data, columns);
                    quality = String.format(
                            Locale.ROOT, "accuracy %.4f", evaluation.figures().get(Metric.ACCURACY));
                } else {
                    List<double[]> own = vectors(predictor);
                    vectors = form == 0 ? own : vectors;
                    quality = cosines(vectors, own);
                }
            }
            System.out.printf(
                    Locale.ROOT,
                    "%-12s %10.2f %12.2f   %s%n",
                    path.getFileName(),
                    Files.size(path) / 1e6,
                    milliseconds[form],
                    quality);
        }
    }

    private List<double[]> vectors(Predictor predictor) throws IOException {
        Dataset.Columns columns = new Dataset.Columns(List.of(), Optional.empty(), Optional.empty());
        return predictor
                .predict(Dataset.readTexts(data, columns).examples().stream()
                        .map(Example::text)
                        .toList())
                .stream()
                .map(each -> ((Prediction.Embedding) each).values())
                .toList();
    }

    private static String cosines(List<double[]> expected, List<double[]> found) {
        double sum = 0;
        double least = 1;
        for (int i = 0; i < found.size(); i++) {
            double cosine = 0;
            for (int j = 0; j < found.get(i).length; j++) {
                cosine += expected.get(i)[j] * found.get(i)[j];
            }
            sum += cosine;
            least = Math.min(least, cosine);
        }
        return String.format(Locale.ROOT, "cosine %.4f, least %.4f", sum / found.size(), least);
    }

    private double[] milliseconds(Model model, List<Path> forms) throws OrtException {
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        List<OrtSession> sessions = new ArrayList<>();
        double[][] times = new double[forms.size()][runs];
        long[][] ids = {
            new Random(2)
                    .longs(
                            tokens,
                            1000,
                            model.architecture().tokens().orElseThrow().vocabulary())
                    .toArray()
        };
        long[][] ones = {new long[tokens]};
        Arrays.fill(ones[0], 1);
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions();
                OnnxTensor first = OnnxTensor.createTensor(environment, ids);
                OnnxTensor mask = OnnxTensor.createTensor(environment, ones);
                OnnxTensor types = OnnxTensor.createTensor(environment, new long[1][tokens])) {
            options.setIntraOpNumThreads(1);
            for (Path form : forms) {
                sessions.add(environment.createSession(form.toString(), options));
            }
            Map<String, OnnxTensor> all = Map.of("input_ids", first, "attention_mask", mask, "token_type_ids", types);
            for (int round = -runs / 10; round < runs; round++) {
                for (int i = 0; i < forms.size(); i++) {
                    int form = Math.floorMod(round + i, forms.size());
                    Map<String, OnnxTensor> inputs = new HashMap<>(all);
                    inputs.keySet().retainAll(sessions.get(form).getInputNames());
                    long start = System.nanoTime();
                    sessions.get(form).run(inputs).close();
                    if (round >= 0) {
                        times[form][round] = (System.nanoTime() - start) / 1e6;
                    }
                }
            }
        } finally {
            for (OrtSession session : sessions) {
                session.close();
            }
        }
        return Arrays.stream(times)
                .mapToDouble(each ->
                        Arrays.stream(each).sorted().skip(runs / 2).findFirst().orElseThrow())
                .toArray();
    }
}
