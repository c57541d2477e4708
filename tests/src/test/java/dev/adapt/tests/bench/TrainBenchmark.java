package dev.adapt.tests.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Speed and memory of training a decoder. */
@Command(
        name = "tests/bench/train",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Makes a Llama of 58 million random weights (float32) and texts of random tokens, trains LoRA of rank 8 and VeRA of",
            "rank 256 on its query and value projections, and prints examples per second and the largest memory of the",
            "process, libtorch and the Java heap included."
        })
final class TrainBenchmark implements Callable<Integer> {
    @Option(names = "--batch-size", paramLabel = "N", description = "examples of a step")
    private int batch = 8;

    @Option(names = "--length", paramLabel = "N", description = "tokens of an example")
    private int length = 128;

    @Option(names = "--steps", paramLabel = "N", description = "of a run")
    private int steps = 20;

    @Option(
            names = "--folder",
            required = true,
            paramLabel = "DIR",
            description = "where to make the files, which stay")
    private Path folder = Path.of("");

    @Option(names = "--with", split = ",", paramLabel = "OPTION", description = "further options of adapt train")
    private List<String> with = List.of();

    private TrainBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new TrainBenchmark()).execute(args));
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        TrainingFiles files = new TrainingFiles(folder);
        Path base = files.base();
        Path train = files.texts("train", batch * steps, length, 1);
        Path dev = files.texts("dev", batch, length, 2);
        System.out.printf("%-12s %12s %12s %12s%n", "", "examples/s", "peak memory", "parameters");
        for (List<String> method : List.of(List.of("lora", "--rank", "8"), List.of("vera", "--rank", "256"))) {
            run(folder, base, train, dev, method);
        }
        return 0;
    }

    private void run(Path work, Path base, Path train, Path dev, List<String> method)
            throws IOException, InterruptedException {
        Path out = Files.createTempDirectory(work, method.getFirst()).resolve("out");
        List<String> command = new ArrayList<>(List.of(System.getProperty("adapt.launcher"), "train"));
        command.addAll(List.of("--base", base.toString(), "--task", "causal-lm", "--method"));
        command.addAll(method);
        command.addAll(List.of("--target", "q_proj,v_proj", "--data", train.toString(), "--eval", dev.toString()));
        command.addAll(List.of("--epochs", "1", "--batch-size", "" + batch, "--out", out.toString()));
        command.addAll(with);
        Measured measured = Measured.run(command);
        JsonNode summary = new JsonMapper().readTree(out.resolve("summary.json").toFile());
        System.out.printf(
                Locale.ROOT,
                "%-12s %12.2f %9.2f GB %,12d%n",
                String.join(" ", method.getFirst(), "r", method.getLast()),
                summary.path("examples_per_second").asDouble(),
                measured.peakResident() / 1e9,
                summary.path("adapter_parameters").asLong());
    }
}
