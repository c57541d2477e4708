package dev.adapt.cli.demo;

import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.cli.terminal.TrainProgress;
import dev.adapt.cli.verify.DjlEngine;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.imports.OnnxImport;
import dev.adapt.merge.Merger;
import dev.adapt.train.Learner;
import dev.adapt.train.TrainConfig;
import dev.adapt.train.TrainResult;
import dev.adapt.train.Trainer;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.device.Devices;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Scores;
import dev.adapt.train.task.Classification;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.form.Settings;
import dev.adapt.verify.form.Verification;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code adapt demo}: the whole path, on a real pretrained encoder and a data set that ships with adapt. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Adapts a pretrained sentence encoder (all-MiniLM-L6-v2) to sort customer requests by intent, with LoRA and with"
                    + " VeRA; merges, exports and verifies both.",
            "Takes two to three minutes on two cores and leaves all files."
        })
public final class DemoCommand implements Callable<Integer> {
    private static final List<String> TARGETS = List.of("query", "value");
    private static final int EPOCHS = 5;
    private static final int BATCH = 32;
    private static final double DROPOUT = 0.1;
    private static final long SEED = 42;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "folder to write (default: demo, in the checkout or here)")
    private Optional<Path> out = Optional.empty();

    @Option(names = "--overwrite", description = "replace an earlier demo in that folder: its own unchanged files only")
    private boolean overwrite;

    /** One method to show. The data is small and the runs are short: both rates are higher than adapt train's own. */
    private record Show(
            String label, String folder, AdapterMethod method, double learningRate, double headLearningRate) {}

    private static final List<Show> SHOWS = List.of(
            new Show("LoRA, rank 8", "lora", new Lora(8, 16, DROPOUT), 2e-3, 5e-3),
            new Show("VeRA, rank 256", "vera", new Vera(256, 0.1, 0, DROPOUT, false, Rounding.FMA), 3e-2, 1e-2));

    @Override
    public Integer call() throws IOException {
        long start = System.nanoTime();
        Path home = Path.of(System.getProperty("adapt.home", ""));
        Path folder = relative(out.orElse(home.resolve("demo")));
        Path encoder = encoder();
        DemoFolder owned = DemoFolder.claim(folder, overwrite);
        // a demo that fails or is interrupted leaves files too: they are recorded, so that --overwrite can replace them
        Thread interrupted = new Thread(() -> recordQuietly(owned));
        Runtime.getRuntime().addShutdownHook(interrupted);
        try {
            return run(encoder, folder, start);
        } finally {
            owned.record();
            remove(interrupted);
        }
    }

    private static void remove(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // a signal has come, and the hook runs
        }
    }

    private static void recordQuietly(DemoFolder owned) {
        try {
            owned.recordWhenStill();
        } catch (IOException | UncheckedIOException e) {
            // files that are not recorded are not deleted
        }
    }

    private static int run(Path encoder, Path folder, long start) throws IOException {
        say("1. A pretrained encoder from ONNX to a Hugging Face checkpoint");
        Path base = importBase(encoder, folder);
        Path train = copyData(folder, "requests-train.tsv");
        Path dev = copyData(folder, "requests-dev.tsv");
        List<DemoResult> results = new ArrayList<>();
        for (Show show : SHOWS) {
            say("%n%d. %s: train, merge, export, verify", results.size() + 2, show.label());
            results.add(show(show, folder, base, train, dev));
        }
        say("");
        Terminal.verdicts(table(results).toString());
        String commands = commands(folder);
        Path report = folder.resolve("report.html");
        Files.writeString(report, report(results, train, dev, commands).html());
        double seconds = (System.nanoTime() - start) / 1e9;
        say("%nDone in %.0f s. The report is %s. What you could run next:%n%n%s", seconds, report, commands);
        return results.stream().allMatch(result -> result.report().passed()) ? 0 : Failure.NOT_EQUAL;
    }

    @SuppressWarnings("AnnotateFormatMethod") // would cost a dependency on annotations for one private method
    private static void say(String format, Object... arguments) {
        Terminal.lines(String.format(Locale.ROOT, format, arguments) + "\n");
    }

    /** Paths that can be typed: from the working directory where the folder lies below it. */
    private static Path relative(Path folder) {
        Path here = Path.of("").toAbsolutePath();
        Path target = folder.toAbsolutePath().normalize();
        return target.startsWith(here) && !target.equals(here) ? here.relativize(target) : target;
    }

    private static Path encoder() throws IOException {
        Path jar = Path.of(System.getProperty("adapt.demo.model", "minilm.jar"));
        if (!Files.exists(jar)) {
            throw new NoSuchFileException(
                    jar.toString(),
                    null,
                    "the demo's model does not exist: start the demo with ./adapt of a checkout, whose build downloads"
                            + " the model, or of the full archive of a release, which holds it");
        }
        return jar;
    }

    private static Path importBase(Path jar, Path folder) throws IOException {
        Path base = folder.resolve("base");
        Path model = folder.resolve("all-minilm-l6-v2.onnx");
        Path tokenizer = folder.resolve("all-minilm-l6-v2-tokenizer.json");
        try (FileSystem inside = FileSystems.newFileSystem(URI.create("jar:" + jar.toUri()), Map.of())) {
            for (Path file : List.of(model, tokenizer)) {
                Files.copy(inside.getPath(String.valueOf(file.getFileName())), file);
            }
            OnnxImport.run(model, Optional.of(tokenizer), base);
        }
        Files.delete(model);
        Files.delete(tokenizer);
        say("   %s: 6 layers, hidden 384, %s", base, new Bytes(Files.size(base.resolve(Checkpoint.SINGLE))));
        return base;
    }

    private static Path copyData(Path folder, String name) throws IOException {
        Path file = folder.resolve(name);
        try (InputStream in = DemoCommand.class.getResourceAsStream(name)) {
            Files.copy(Objects.requireNonNull(in), file);
        }
        return file;
    }

    private static DemoResult show(Show show, Path folder, Path base, Path train, Path dev) throws IOException {
        Path adapter = folder.resolve(show.folder() + "-adapter");
        TrainProgress progress = new TrainProgress();
        TrainResult trained = Trainer.train(
                        config(show, base, train, dev, adapter), progress, Thread.currentThread()::isInterrupted)
                .orElseThrow();
        progress.endLine();
        Path merged = folder.resolve(show.folder() + "-merged");
        Path onnx = merged.resolve("model.onnx");
        double mergeSeconds = merge(adapter, base, merged);
        try (Checkpoint checkpoint = Checkpoint.open(merged)) {
            OnnxExport.run(Model.of(checkpoint), onnx, OnnxExport.Weights.LINKED);
        }
        Report report = Verification.of(
                Forms.of(base, adapter, merged, onnx),
                Settings.DEFAULT.on(new DjlEngine(Devices.AUTO)),
                Engine.Listener.NONE);
        Terminal.report(report);
        return new DemoResult(
                show.label(),
                show.folder(),
                show.learningRate(),
                show.headLearningRate(),
                trained.adapterParameters(),
                trained.headParameters(),
                trained.adapterBytes(),
                trained.losses(),
                trained.scores().stream().map(Scores::loss).toList(),
                trained.scores().stream()
                        .map(scores -> scores.of(Metric.ACCURACY))
                        .toList(),
                trained.best(),
                trained.examplesPerSecond(),
                trained.seconds(),
                mergeSeconds,
                report);
    }

    private static TrainConfig config(Show show, Path base, Path train, Path dev, Path adapter) {
        return new TrainConfig(
                base,
                new Learner.Adapter(show.method()),
                TARGETS,
                new Classification(Dataset.Columns.UNKNOWN),
                train,
                dev,
                adapter,
                Optional.empty(),
                EPOCHS,
                BATCH,
                show.learningRate(),
                show.headLearningRate(),
                0.01,
                0.06,
                1,
                128,
                false,
                Optional.of(Metric.ACCURACY),
                SEED,
                Devices.AUTO);
    }

    private static double merge(Path adapter, Path base, Path merged) throws IOException {
        long start = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Adapter read = Adapter.read(adapter);
            new Merger(
                            checkpoint,
                            new Binding(checkpoint).bind(read, false),
                            Runtime.getRuntime().availableProcessors())
                    .merge(merged);
        }
        return (System.nanoTime() - start) / 1e9;
    }

    private static TextTable table(List<DemoResult> results) {
        TextTable table = new TextTable(
                "method",
                "trained parameters",
                "adapter file",
                "dev accuracy before",
                "after",
                "merge",
                "largest difference",
                "verified");
        for (DemoResult result : results) {
            table.row(
                    result.name(),
                    String.format(Locale.ROOT, "%,d", result.trainedParameters()),
                    new Bytes(result.adapterBytes()),
                    DemoReport.percent(result.before()),
                    DemoReport.percent(result.after()),
                    String.format(Locale.ROOT, "%.2f s", result.mergeSeconds()),
                    DemoReport.difference(result.report().maxAbsolute()),
                    result.report().passed() ? "PASS" : "FAIL");
        }
        return table;
    }

    private static DemoReport report(List<DemoResult> results, Path train, Path dev, String commands)
            throws IOException {
        Dataset tested = Dataset.read(dev, Dataset.Columns.UNKNOWN);
        String subtitle = String.format(
                Locale.ROOT,
                "all-MiniLM-L6-v2 (6 layers, hidden 384) on %,d customer requests in %d intents, tested on %d others; %s, Java %s, %d cores",
                Dataset.read(train, Dataset.Columns.UNKNOWN).examples().size(),
                tested.labels().size(),
                tested.examples().size(),
                LocalDate.now(ZoneId.systemDefault()),
                Runtime.version().feature(),
                Runtime.getRuntime().availableProcessors());
        String lead =
                "The encoder's own weights stayed frozen. LoRA trained two small matrices for each adapted layer; VeRA"
                        + " trained two vectors for each and regenerates its matrices from a seed. Each adapter was merged into the"
                        + " encoder, exported to ONNX, and all forms of it were run on the same inputs.";
        String settings = String.format(
                Locale.ROOT,
                "Query and value adapted in every layer; AdamW, batches of %d, dropout %s, the learning rate rising linearly"
                        + " over the first 6 %% of the steps and falling to 0, seed %d.",
                BATCH,
                DROPOUT,
                SEED);
        Map<String, String> examples = new TreeMap<>();
        tested.examples()
                .forEach(example ->
                        examples.putIfAbsent(example.label(), example.text().shown()));
        return new DemoReport(subtitle, lead, examples, settings, results, commands);
    }

    private static String commands(Path folder) {
        Show vera = SHOWS.getLast();
        return """
                ./adapt inspect %1$s/vera-adapter
                ./adapt train --base %1$s/base --method vera --rank 64 --target query,value \\
                        --data %1$s/requests-train.tsv --eval %1$s/requests-dev.tsv \\
                        --epochs %2$d --batch-size %3$d --lr %4$s --head-lr %5$s --dropout %6$s --out my-vera
                ./adapt merge my-vera --base %1$s/base --out my-merged
                ./adapt export-onnx my-merged --out my-merged/model.onnx
                ./adapt verify --base %1$s/base --adapter my-vera --merged my-merged --onnx my-merged/model.onnx
                """.formatted(folder, EPOCHS, BATCH, vera.learningRate(), vera.headLearningRate(), DROPOUT);
    }
}
