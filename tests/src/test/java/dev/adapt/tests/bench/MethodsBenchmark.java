package dev.adapt.tests.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.cli.Adapt;
import dev.adapt.cli.demo.DemoCommand;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.method.MethodType;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** What each method stores, and how well it does with that. */
@Command(
        name = "tests/bench/methods",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Trains methods with the settings that `adapt train` gives them, on query and value of the demo's MiniLM, and prints",
            "trained parameters, bytes stored, score and speed. A page, methods.html, draws bytes against score.",
            "Runs are kept in the folder: a second call makes only those that are not there yet."
        })
final class MethodsBenchmark implements Callable<Integer> {
    private static final String ALL = "all";
    private static final String DEMO = "demo";

    /** Cannot be trained without a choice of tokens. */
    private static final String TOKENS = "trainable_tokens";

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "folder of runs.jsonl and methods.html")
    private Path out = Path.of("");

    @Option(
            names = "--method",
            split = ",",
            paramLabel = "METHOD",
            description = {
                "by name, or all; a setting follows a colon: lora:r=4, and lr is the learning rate: vera:lr=2e-2",
            })
    private List<String> methods = List.of(ALL);

    @Option(
            names = "--data",
            split = ",",
            paramLabel = "DATA",
            description = "demo (its requests), or a folder with train.tsv and dev.tsv, of which the last name counts")
    private List<String> data = List.of(DEMO);

    @Option(names = "--metric", description = "that chooses the best epoch, and is the score, of folders")
    private String metric = "accuracy";

    @Option(names = "--rows", paramLabel = "N", description = "of training data, evenly from all; 0: all")
    private int rows;

    @Option(names = "--epochs", paramLabel = "N", description = "passes over the data")
    private int epochs = 5;

    @Option(names = "--seeds", paramLabel = "N", description = "how many runs of each method")
    private int seeds = 3;

    @Option(
            names = "--compare",
            split = ",",
            paramLabel = "METHOD",
            description =
                    "two methods: the mean difference of equal seeds, the first less the second, with an interval")
    private List<String> compared = List.of();

    private MethodsBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new MethodsBenchmark()).execute(args));
    }

    @Override
    public Integer call() throws IOException {
        MethodRuns runs = MethodRuns.in(Files.createDirectories(out).resolve("runs.jsonl"));
        Path work = Files.createTempDirectory("adapt-bench");
        try {
            Path base = base(work);
            for (String name : data) {
                Path train = data(name, "train", work, rows);
                Path dev = data(name, "dev", work, 0);
                for (long seed = 1; seed <= seeds; seed++) {
                    for (String method : methods()) {
                        run(runs, name, method, seed, base, train, dev, work.resolve("adapter"));
                    }
                }
            }
        } finally {
            delete(work);
        }
        print(runs);
        return 0;
    }

    private List<String> methods() {
        return methods.equals(List.of(ALL))
                ? Methods.ALL.stream()
                        .map(MethodType::name)
                        .filter(name -> !name.equals(TOKENS))
                        .toList()
                : methods;
    }

    /** The demo's encoder, which the build has downloaded. */
    private static Path base(Path work) throws IOException {
        Path launcher = Path.of(Objects.requireNonNull(System.getProperty("adapt.launcher")));
        Path jar = launcher.resolveSibling("cli/target/demo/minilm.jar");
        Path model = work.resolve("model.onnx");
        Path tokenizer = work.resolve("tokenizer.json");
        try (FileSystem inside = FileSystems.newFileSystem(jar)) {
            Files.copy(inside.getPath("all-minilm-l6-v2.onnx"), model);
            Files.copy(inside.getPath("all-minilm-l6-v2-tokenizer.json"), tokenizer);
        }
        Path base = work.resolve("base");
        adapt("import-onnx", model, "--tokenizer", tokenizer, "--out", base).ifPresent(error -> {
            throw new IllegalStateException(error);
        });
        return base;
    }

    /** Some rows of a data set, of the same distance from each other, or all. */
    private static Path data(String name, String part, Path work, int some) throws IOException {
        boolean demo = name.equals(DEMO);
        Path file = demo ? requests(part, work) : Path.of(name, part + ".tsv");
        if (some == 0) {
            return file;
        }
        int header = demo ? 1 : 0;
        List<String> lines = Files.readAllLines(file);
        int count = lines.size() - header;
        List<String> kept = new ArrayList<>(lines.subList(0, header));
        IntStream.range(0, Math.min(some, count))
                .forEach(i -> kept.add(lines.get(header + (int) ((long) i * count / Math.min(some, count)))));
        return Files.write(work.resolve(label(name) + "-" + part + "-some.tsv"), kept);
    }

    private static Path requests(String part, Path work) throws IOException {
        String name = "requests-" + part + ".tsv";
        Path file = work.resolve(name);
        try (InputStream in = Objects.requireNonNull(DemoCommand.class.getResourceAsStream(name))) {
            Files.copy(in, file);
        }
        return file;
    }

    private static String label(String data) {
        return data.equals(DEMO) ? DEMO : String.valueOf(Path.of(data).getFileName());
    }

    private void run(
            MethodRuns runs, String name, String method, long seed, Path base, Path train, Path dev, Path adapter)
            throws IOException {
        String score = name.equals(DEMO) ? "accuracy" : metric;
        MethodRuns.Run asked = new MethodRuns.Run(label(name), method, seed, rows, epochs, score, 0, 0, 0, 0, 0, "");
        if (runs.has(asked)) {
            return;
        }
        List<Object> words = new ArrayList<>(List.of("train", "--base", base, "--data", train, "--eval", dev));
        words.addAll(List.of("--epochs", epochs, "--seed", seed, "--metric", score, "--out", adapter, "--overwrite"));
        words.addAll(options(method));
        Optional<String> refused = adapt(words.toArray());
        MethodRuns.Run run = refused.isPresent()
                ? new MethodRuns.Run(label(name), method, seed, rows, epochs, score, 0, 0, 0, 0, 0, refused.get())
                : result(asked, adapter);
        runs.add(run);
        System.out.printf(
                Locale.ROOT,
                "%-6s %-24s seed %d  %s%n",
                run.data(),
                method,
                seed,
                run.refused().isEmpty() ? String.format(Locale.ROOT, "%.4f", run.score()) : run.refused());
    }

    private static List<Object> options(String method) {
        String[] words = method.split(":");
        List<Object> options = new ArrayList<>(List.of("--method", words[0]));
        options.addAll(List.of("--target", words[0].equals("ln_tuning") ? "LayerNorm" : "query,value"));
        for (String setting : List.of(words).subList(1, words.length)) {
            options.addAll(
                    setting.startsWith("lr=") ? List.of("--lr", setting.substring(3)) : List.of("--set", setting));
        }
        return options;
    }

    private static MethodRuns.Run result(MethodRuns.Run asked, Path adapter) throws IOException {
        JsonNode summary =
                new JsonMapper().readTree(adapter.resolve("summary.json").toFile());
        JsonNode scores = summary.path("epochs_scores");
        String key = summary.path("metric").asText();
        long head = summary.path("head_parameters").asLong() * Float.BYTES;
        return new MethodRuns.Run(
                asked.data(),
                asked.method(),
                asked.seed(),
                asked.rows(),
                asked.epochs(),
                key,
                scores.path(0).path(key).asDouble(),
                scores.path(summary.path("best_epoch").asInt()).path(key).asDouble(),
                summary.path("adapter_parameters").asLong(),
                summary.path("adapter_bytes").asLong() - head,
                summary.path("examples_per_second").asDouble(),
                "");
    }

    /** Runs a command in this JVM, which need not start PyTorch anew; returns what it complains of. */
    private static Optional<String> adapt(Object... args) {
        String[] words = Stream.of(args).map(Object::toString).toArray(String[]::new);
        StringWriter errors = new StringWriter();
        PrintStream output = System.out;
        PrintStream errorOutput = System.err;
        try {
            System.setOut(new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8));
            int exitCode =
                    Adapt.commandLine(words).setErr(new PrintWriter(errors)).execute(words);
            return exitCode == 0
                    ? Optional.empty()
                    : Optional.of(errors.toString().strip());
        } finally {
            System.setOut(output);
            System.setErr(errorOutput);
        }
    }

    private void print(MethodRuns runs) throws IOException {
        for (String name : runs.dataSets()) {
            System.out.printf(
                    "%n%-24s %12s %10s %8s %18s %12s%n", name, "parameters", "bytes", "before", "score", "examples/s");
            for (MethodRuns.Result result : runs.results(name)) {
                System.out.printf(
                        Locale.ROOT,
                        "%-24s %,12d %,10d %8.4f %8.4f ± %7.4f %12.1f%n",
                        result.first().method(),
                        result.first().parameters(),
                        result.first().bytes(),
                        result.first().before(),
                        result.mean(),
                        (result.most() - result.least()) / 2,
                        result.examplesPerSecond());
            }
        }
        List<MethodRuns.Difference> differences = new ArrayList<>();
        if (compared.size() == 2) {
            runs.dataSets()
                    .forEach(name -> runs.difference(name, compared.getFirst(), compared.getLast())
                            .ifPresent(differences::add));
            differences.forEach(difference -> System.out.println(difference.text()));
        }
        runs.refusals().forEach((method, reason) -> System.out.println(method + ": " + reason));
        Path page = out.resolve("methods.html");
        Files.writeString(page, new MethodsPage(runs, differences).html());
        System.out.println(page);
    }

    private static void delete(Path work) throws IOException {
        try (Stream<Path> inside = Files.walk(work)) {
            for (Path file : inside.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
