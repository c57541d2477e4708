package dev.adapt.tests.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.lors.StackSize;
import dev.adapt.formats.lors.StackedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** LORS from scratch beside the plain stack. */
@Command(
        name = "tests/bench/lors",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Trains a ViT from scratch, once plain and once with shared weights for each rank, with the same data, steps and seeds, and",
            "prints parameters, dev loss and accuracy side by side: mean and spread over the seeds. Each model that shares weights is",
            "then merged, and the merged one verified to be the same within 1e-5.",
            "Without --data the images are drawn: outlines of polygons and stars on noise, in 8 classes."
        })
final class LorsBenchmark implements Callable<Integer> {
    private static final int TRAIN = 3000;
    private static final int DEV = 1000;

    @Option(names = "--data", paramLabel = "FILE", description = "training images, as adapt train reads them")
    private Optional<Path> data = Optional.empty();

    @Option(names = "--eval", paramLabel = "FILE", description = "dev images")
    private Optional<Path> eval = Optional.empty();

    @Option(names = "--layers", paramLabel = "N", description = "of the ViT")
    private int layers = 6;

    @Option(names = "--hidden", paramLabel = "N", description = "its width; the feed-forward network is twice as wide")
    private int hidden = 64;

    @Option(names = "--rank", split = ",", paramLabel = "N", description = "of each group")
    private List<Integer> ranks = List.of(4, 8);

    @Option(names = "--groups", paramLabel = "K,…", description = "of each layer")
    private String groups = "1,1,2,2,3,3";

    @Option(names = "--epochs", paramLabel = "N", description = "passes over the data")
    private int epochs = 6;

    @Option(names = "--lr", paramLabel = "X", description = "of all models")
    private String learningRate = "1e-3";

    @Option(names = "--seeds", paramLabel = "N", description = "how many runs of each model")
    private int seeds = 3;

    private LorsBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new LorsBenchmark()).execute(args));
    }

    /** One run: what its summary says. */
    private record Run(long parameters, long stack, double loss, double accuracy, double speed) {}

    @Override
    public Integer call() throws IOException, InterruptedException {
        Path work = Files.createTempDirectory("adapt-bench");
        try {
            Path config = Files.writeString(work.resolve("config.json"), """
                    {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": %d,
                     "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": 4, "image_size": 28,
                     "patch_size": 7, "num_channels": 1}
                    """.formatted(hidden, 2 * hidden, layers));
            Path train = data.isPresent() ? data.get() : DrawnShapes.write(work, "train", TRAIN, 1);
            Path dev = eval.isPresent() ? eval.get() : DrawnShapes.write(work, "dev", DEV, 2);
            System.out.printf(
                    "%-16s %12s %12s %20s %20s %12s %10s%n",
                    "", "parameters", "of layers", "dev loss", "dev accuracy", "examples/s", "merged");
            compare(work, "plain", config, train, dev, List.of("--method", "full"));
            for (int rank : ranks) {
                compare(
                        work,
                        "LORS, rank " + rank,
                        config,
                        train,
                        dev,
                        List.of("--method", "lors", "--rank", "" + rank, "--groups", groups));
            }
        } finally {
            delete(work);
        }
        return 0;
    }

    private void compare(Path work, String name, Path config, Path train, Path dev, List<String> method)
            throws IOException, InterruptedException {
        List<Run> runs = new ArrayList<>();
        boolean merged = false;
        for (int seed = 1; seed <= seeds; seed++) {
            Path out = work.resolve(name.replaceAll("\\W+", "-") + "-" + seed);
            List<String> options = new ArrayList<>(method);
            options.addAll(List.of("--seed", "" + seed));
            runs.add(run(config, train, dev, out, options));
            if (StackedModel.isIn(out)) {
                Path plain = work.resolve(out.getFileName() + "-merged");
                adapt("merge", out.toString(), "--out", plain.toString());
                adapt("verify", "--adapter", out.toString(), "--merged", plain.toString(), "--tolerance", "1e-5");
                merged = true;
            }
        }
        System.out.printf(
                Locale.ROOT,
                "%-16s %,12d %,12d %20s %20s %12.0f %10s%n",
                name,
                runs.getFirst().parameters(),
                runs.getFirst().stack(),
                spread(runs.stream().map(Run::loss).toList()),
                spread(runs.stream().map(Run::accuracy).toList()),
                runs.stream().mapToDouble(Run::speed).average().orElseThrow(),
                merged ? "the same" : "");
    }

    private Run run(Path config, Path train, Path dev, Path out, List<String> options)
            throws IOException, InterruptedException {
        List<String> words = new ArrayList<>(List.of("train", "--from-scratch", "--config", config.toString()));
        words.addAll(List.of("--task", "image-classification", "--data", train.toString(), "--eval", dev.toString()));
        words.addAll(List.of("--epochs", "" + epochs, "--lr", learningRate, "--batch-size", "32"));
        words.addAll(List.of("--out", out.toString()));
        words.addAll(options);
        adapt(words.toArray(String[]::new));
        JsonNode summary = new JsonMapper().readTree(out.resolve("summary.json").toFile());
        JsonNode kept = summary.path("epochs_scores").path(epochs); // the last: every run makes the same steps
        long parameters = summary.path("adapter_parameters").asLong();
        long plainLayers = layers * (4L * hidden * hidden + 4L * hidden * hidden);
        long stack = StackedModel.isIn(out)
                ? StackSize.of(StackedModel.read(out), out.resolve(Adapter.FILE))
                        .trained()
                : plainLayers;
        return new Run(
                parameters,
                stack,
                kept.path("eval_loss").asDouble(),
                kept.path("accuracy").asDouble(),
                summary.path("examples_per_second").asDouble());
    }

    private static void adapt(String... words) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(System.getProperty("adapt.launcher")));
        command.addAll(List.of(words));
        Measured.run(command);
    }

    private static String spread(List<Double> values) {
        double mean = values.stream().mapToDouble(Double::doubleValue).average().orElseThrow();
        double squares = values.stream()
                .mapToDouble(value -> (value - mean) * (value - mean))
                .sum();
        double deviation = values.size() < 2 ? 0 : Math.sqrt(squares / (values.size() - 1));
        return String.format(Locale.ROOT, "%.4f ± %.4f", mean, deviation);
    }

    private static void delete(Path work) throws IOException {
        try (Stream<Path> inside = Files.walk(work)) {
            for (Path file : inside.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
