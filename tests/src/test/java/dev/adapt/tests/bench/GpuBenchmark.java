package dev.adapt.tests.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.train.device.Torch;
import dev.adapt.verify.runner.OnnxRunner;
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

/** Training, merging and verifying on a GPU, beside the CPU of the same machine. */
@Command(
        name = "tests/bench/gpu",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Makes a Llama of 58 million random weights (float32) and texts of random tokens. Trains LoRA of rank 8 on its query",
            "and value projections on the CPU and on CUDA, merges the adapter, exports the result and verifies base with adapter,",
            "merged folder and ONNX model on both. Prints a table of seconds, examples per second and largest differences.",
            "Ends with exit code 2, and says what is missing, where libtorch or ONNX Runtime cannot use CUDA."
        })
final class GpuBenchmark implements Callable<Integer> {
    private static final List<String> DEVICES = List.of("cpu", "cuda");
    private static final int BATCH = 8;
    private static final int LENGTH = 128;

    @Option(names = "--steps", paramLabel = "N", description = "of a training")
    private int steps = 50;

    @Option(
            names = "--folder",
            required = true,
            paramLabel = "DIR",
            description = "where to make the files, which stay")
    private Path folder = Path.of("");

    private GpuBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new GpuBenchmark()).execute(args));
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        List<String> missing = missing();
        if (!missing.isEmpty()) {
            missing.forEach(System.err::println);
            return 2;
        }
        TrainingFiles files = new TrainingFiles(Files.createDirectories(folder));
        Path base = files.base();
        Path data = files.texts("train", BATCH * steps, LENGTH, 1);
        Path runs = Files.createTempDirectory(folder, "run");
        System.out.printf("%-24s %10s %14s %18s%n", "", "seconds", "examples/s", "largest difference");
        for (String device : DEVICES) {
            train(device, base, data, runs.resolve(device));
        }
        Path adapter = runs.resolve("cuda");
        Path merged = runs.resolve("merged");
        Path onnx = merged.resolve("model.onnx");
        print("merge, cpu", adapt("merge", adapter, "--base", base, "--out", merged), Double.NaN, Double.NaN);
        print("export-onnx, cpu", adapt("export-onnx", merged, "--out", onnx), Double.NaN, Double.NaN);
        for (String device : DEVICES) {
            verify(device, base, adapter, merged, onnx, runs.resolve("verify-" + device + ".json"));
        }
        System.out.println("files: " + runs);
        return 0;
    }

    private static void train(String device, Path base, Path data, Path adapter)
            throws IOException, InterruptedException {
        List<Object> words = new ArrayList<>(List.of("train", "--base", base, "--data", data, "--out", adapter));
        words.addAll(List.of("--task", "causal-lm", "--method", "lora", "--rank", 8, "--target", "q_proj,v_proj"));
        words.addAll(List.of("--eval", "none", "--epochs", 1, "--batch-size", BATCH, "--device", device));
        Measured measured = adapt(words.toArray());
        JsonNode summary =
                new JsonMapper().readTree(adapter.resolve("summary.json").toFile());
        print("train, " + device, measured, summary.path("examples_per_second").asDouble(), Double.NaN);
    }

    private static void verify(String device, Path base, Path adapter, Path merged, Path onnx, Path report)
            throws IOException, InterruptedException {
        List<Object> words = new ArrayList<>(List.of("verify", "--base", base, "--adapter", adapter));
        words.addAll(List.of("--merged", merged, "--onnx", onnx));
        words.addAll(List.of("--no-reference", "--device", device, "--json", report));
        print("verify, " + device, adapt(words.toArray()), Double.NaN, largestDifference(report));
    }

    /** Why this machine cannot run the benchmark; empty if it can. */
    private static List<String> missing() {
        List<String> missing = new ArrayList<>();
        if (!Torch.hasLibtorch() || Torch.engine().getGpuCount() == 0) {
            missing.add("libtorch finds no CUDA device: an NVIDIA GPU and a libtorch with CUDA are needed;"
                    + " PYTORCH_LIBRARY_PATH and PYTORCH_FLAVOR name it to DJL");
        }
        if (!OnnxRunner.providers().contains("CUDA")) {
            missing.add("ONNX Runtime offers only " + String.join(", ", OnnxRunner.providers())
                    + ": build with -Pgpu on a machine with CUDA 12 and cuDNN 9");
        }
        return missing;
    }

    /**
     * Runs a command of adapt.
     *
     * @throws IllegalStateException if its exit code is not 0: of {@code verify}, also where CUDA did not do all of the work
     */
    private static Measured adapt(Object... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(System.getProperty("adapt.launcher")));
        for (Object argument : arguments) {
            command.add(argument.toString());
        }
        return Measured.run(command);
    }

    private static double largestDifference(Path report) throws IOException {
        double largest = 0;
        for (JsonNode model : new JsonMapper().readTree(report.toFile()).path("models")) {
            for (JsonNode comparison : model.path("report").path("comparisons")) {
                largest = Math.max(largest, comparison.path("max_absolute").asDouble());
            }
        }
        return largest;
    }

    private static void print(String what, Measured measured, double examplesPerSecond, double difference) {
        System.out.printf(
                Locale.ROOT,
                "%-24s %10.2f %14s %18s%n",
                what,
                measured.seconds(),
                Double.isNaN(examplesPerSecond) ? "" : String.format(Locale.ROOT, "%.1f", examplesPerSecond),
                Double.isNaN(difference) ? "" : String.format(Locale.ROOT, "%.1e", difference));
    }
}
