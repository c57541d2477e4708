package dev.adapt.tests.bench;

import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.onnx.export.OnnxExport.Weights;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Exports of real models' shapes, as a user runs them. */
@Command(
        name = "tests/bench/export",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Makes checkpoints of the shapes of BERT-base, GPT-2 and a Llama of 1.1 B parameters in a temporary folder,",
            "exports each with its weights left where they are (zero-copy) and self-contained, and prints times and sizes",
            "of whole processes, from the shell's start of adapt to its end; memory with what it maps of files."
        })
final class ExportBenchmark implements Callable<Integer> {
    private static final int BLOCK = 1 << 24;

    /** A model by the fields of its config. */
    private record Shape(String name, Dtype dtype, String config) {}

    private static final List<Shape> SHAPES = List.of(
            new Shape("BERT-base", Dtype.F32, """
                    {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 768,
                     "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30522,
                     "max_position_embeddings": 512}
                    """),
            new Shape("GPT-2", Dtype.F32, """
                    {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 768, "n_layer": 12,
                     "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
                    """),
            new Shape("Llama 1.1 B", Dtype.BF16, """
                    {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048,
                     "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
                     "num_key_value_heads": 4, "vocab_size": 32000, "max_position_embeddings": 2048}
                    """));

    @Option(
            names = "--runs",
            paramLabel = "N",
            description = "exports of each kind, after one to warm up; medians are printed")
    private int runs = 5;

    @Option(names = "--folder", paramLabel = "DIR", description = "where to make the files, which are deleted again")
    private Optional<Path> folder = Optional.empty();

    private ExportBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new ExportBenchmark()).execute(args));
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        System.out.printf(
                "%-12s %-5s %10s  %-14s %21s %12s %12s%n",
                "", "", "weights", "", "seconds [least, most]", "written", "peak memory");
        for (Shape shape : SHAPES) {
            Path work = folder.isPresent()
                    ? Files.createTempDirectory(Files.createDirectories(folder.get()), "adapt-bench")
                    : Files.createTempDirectory("adapt-bench");
            try {
                write(shape, work);
                measure(shape, work, Weights.LINKED);
                measure(shape, work, Weights.OWN);
            } finally {
                delete(work);
            }
        }
        return 0;
    }

    private void measure(Shape shape, Path work, Weights weights) throws IOException, InterruptedException {
        Path out = work.resolve("model.onnx");
        List<String> command = new ArrayList<>(
                List.of(System.getProperty("adapt.launcher"), "export-onnx", work.toString(), "--out", out.toString()));
        if (weights == Weights.OWN) {
            command.add("--self-contained");
        }
        List<Measured> measured = new ArrayList<>();
        Measured.run(command); // the files and the launcher into the page cache
        for (int run = 0; run < runs; run++) {
            measured.add(Measured.run(command));
        }
        Path data = work.resolve("model.onnx_data");
        long written = Files.size(out) + (Files.exists(data) ? Files.size(data) : 0);
        measured.sort(Comparator.comparingDouble(Measured::seconds));
        System.out.printf(
                Locale.ROOT,
                "%-12s %-5s %7d MB  %-14s %8.2f [%.2f, %.2f] %9.3f MB %9d MB%n",
                shape.name(),
                shape.dtype(),
                Files.size(work.resolve(Checkpoint.SINGLE)) / 1_000_000,
                weights == Weights.LINKED ? "zero-copy" : "self-contained",
                measured.get(runs / 2).seconds(),
                measured.getFirst().seconds(),
                measured.getLast().seconds(),
                written / 1e6,
                measured.stream().mapToLong(Measured::peakResident).max().orElse(0) / 1_000_000);
    }

    /** A checkpoint of zeros, which cost as much to copy as other values. */
    private static void write(Shape shape, Path work) throws IOException {
        Path config = Files.writeString(work.resolve(ModelConfig.FILE), shape.config());
        List<TensorSpec> specs = new ArrayList<>();
        Architectures.of(ModelConfig.read(config))
                .requiredTensors()
                .forEach((name, dims) -> specs.add(new TensorSpec(name, shape.dtype(), dims)));
        SafetensorsHeader header = SafetensorsHeader.of(specs, Map.of("format", "pt"));
        MemorySegment zeros = MemorySegment.ofArray(new byte[BLOCK]);
        try (SafetensorsWriter writer = SafetensorsWriter.create(work.resolve(Checkpoint.SINGLE), header)) {
            for (TensorInfo tensor : header.tensors()) {
                for (long at = 0; at < tensor.bytes(); at += BLOCK) {
                    writer.write(tensor, at, zeros.asSlice(0, Math.min(BLOCK, tensor.bytes() - at)));
                }
            }
        }
    }

    private static void delete(Path work) throws IOException {
        try (Stream<Path> inside = Files.list(work)) {
            for (Path file : inside.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(work);
    }
}
