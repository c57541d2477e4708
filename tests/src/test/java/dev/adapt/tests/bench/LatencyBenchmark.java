package dev.adapt.tests.bench;

import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.Merger;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The same inputs through three exported forms of a model in turn, so that what else the machine does meets all alike. */
@Command(
        name = "tests/bench/latency",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Makes a model of each architecture (hidden 256, 4 layers) and a LoRA of rank 8 on all its linear layers,",
            "exports the base, the merged model, and the base with the adapter beside it, and runs them in turn on",
            "ONNX Runtime: each round runs all three, each in turn first. Prints the base's median latency, and the medians",
            "(with quartiles) of the others' latencies over the base's of the same round, and of a second session of the",
            "base: how far that is from 1 is this machine's noise."
        })
final class LatencyBenchmark implements Callable<Integer> {
    private static final Map<String, String> CONFIGS = configs();

    @Option(names = "--runs", paramLabel = "N", description = "rounds measured, after a tenth as many to warm up")
    private int runs = 200;

    @Option(names = "--tokens", paramLabel = "N", description = "in the one sequence of an input")
    private int tokens = 64;

    private LatencyBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new LatencyBenchmark()).execute(args));
    }

    private static Map<String, String> configs() {
        String encoder = """
                {"model_type": "%s", "architectures": ["%s"], "hidden_size": 256, "intermediate_size": 1024,
                 "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 1000, "max_position_embeddings": 514,
                 "type_vocab_size": 1}
                """;
        Map<String, String> configs = new LinkedHashMap<>();
        configs.put("BERT", encoder.formatted("bert", "BertForSequenceClassification"));
        configs.put("RoBERTa", encoder.formatted("roberta", "RobertaForSequenceClassification"));
        configs.put("GPT-2", """
                {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 256, "n_layer": 4, "n_head": 4,
                 "n_positions": 512, "vocab_size": 1000}
                """);
        configs.put("Llama", """
                {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256,
                 "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
                 "vocab_size": 1000, "max_position_embeddings": 512}
                """);
        configs.put("ViT", """
                {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 256,
                 "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 64,
                 "patch_size": 8}
                """);
        return configs;
    }

    @Override
    public Integer call() throws IOException {
        System.out.printf("%-8s %10s %22s %22s %22s%n", "", "base", "base again/base", "merged/base", "unmerged/base");
        for (Map.Entry<String, String> config : CONFIGS.entrySet()) {
            Path work = Files.createTempDirectory("adapt-bench");
            try {
                measure(config.getKey(), config.getValue(), work);
            } finally {
                delete(work);
            }
        }
        return 0;
    }

    private void measure(String name, String config, Path work) throws IOException {
        Path base = checkpoint(config, Files.createDirectory(work.resolve("base")));
        Path merged = work.resolve("merged");
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            BoundAdapter adapter = adapter(checkpoint);
            new Merger(checkpoint, adapter, 2).merge(merged);
            export(Model.of(checkpoint), base.resolve("base.onnx"));
            export(Model.of(checkpoint, adapter), base.resolve("unmerged.onnx"));
            try (Checkpoint result = Checkpoint.open(merged)) {
                export(Model.of(result), merged.resolve("merged.onnx"));
            }
            Model model = Model.of(checkpoint);
            List<OnnxRunner> forms = new ArrayList<>();
            try {
                for (Path each : List.of(
                        base.resolve("base.onnx"),
                        base.resolve("base.onnx"),
                        merged.resolve("merged.onnx"),
                        base.resolve("unmerged.onnx"))) {
                    forms.add(OnnxRunner.open(each, model.architecture().outputName(), Device.CPU));
                }
                report(name, forms, inputs(model));
            } finally {
                forms.forEach(OnnxRunner::close);
            }
        }
    }

    private void report(String name, List<OnnxRunner> forms, Map<String, Tensor> inputs) {
        double[][] seconds = new double[forms.size()][runs];
        for (int round = -runs / 10; round < runs; round++) {
            for (int each = 0; each < forms.size(); each++) {
                // each form is the first, the second and so on of a round equally often
                int form = Math.floorMod(round + each, forms.size());
                long start = System.nanoTime();
                forms.get(form).run(inputs);
                if (round >= 0) {
                    seconds[form][round] = (System.nanoTime() - start) / 1e9;
                }
            }
        }
        double[][] ratios = new double[forms.size()][runs];
        for (int form = 0; form < forms.size(); form++) {
            for (int round = 0; round < runs; round++) {
                ratios[form][round] = seconds[form][round] / seconds[0][round];
            }
        }
        System.out.printf(Locale.ROOT, "%-8s %7.2f ms", name, 1e3 * quantile(seconds[0], 0.5));
        for (int form = 1; form < forms.size(); form++) {
            System.out.printf(
                    Locale.ROOT,
                    "   %.3f [%.3f, %.3f]",
                    quantile(ratios[form], 0.5),
                    quantile(ratios[form], 0.25),
                    quantile(ratios[form], 0.75));
        }
        System.out.println();
    }

    private static double quantile(double[] values, double share) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        double at = share * (sorted.length - 1);
        int below = (int) at;
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
    }

    private Map<String, Tensor> inputs(Model model) {
        if (model.architecture().tokens().isEmpty()) {
            return Inputs.random(model.config(), 1, 1, false).batches().getFirst();
        }
        Shape shape = Shape.of(1, tokens);
        long[] ones = new long[tokens];
        Arrays.fill(ones, 1);
        long[] ids = new Random(2).longs(tokens, 2, 1000).toArray();
        return Map.of("input_ids", new LongTensor(shape, ids), "attention_mask", new LongTensor(shape, ones));
    }

    private static void export(Model model, Path out) throws IOException {
        OnnxExport.run(model, out, OnnxExport.Weights.LINKED);
    }

    private static Path checkpoint(String config, Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve(ModelConfig.FILE), config);
        Random random = new Random(3);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        Architectures.of(ModelConfig.read(file))
                .requiredTensors()
                .forEach((name, shape) -> tensors.put(name, random(shape, random)));
        SafetensorsWriter.write(folder.resolve(Checkpoint.SINGLE), tensors, Map.of("format", "pt"));
        return folder;
    }

    private static BoundAdapter adapter(Checkpoint base) throws IOException {
        Binding binding = new Binding(base);
        Architecture architecture = Architectures.of(ModelConfig.of(base));
        List<Target> targets = binding.targets(architecture.linearModules(), architecture);
        Random random = new Random(4);
        BoundAdapter fresh = BoundAdapter.fresh(
                new Lora(8, 16, 0), targets, binding::weight, Map.of(), Optional.empty(), Map.of(), random);
        Map<String, FloatTensor> trained = new LinkedHashMap<>();
        fresh.trainedKeys()
                .forEach(key -> trained.put(key, random(fresh.tensors().get(key).shape(), random)));
        return fresh.with(trained, Map.of());
    }

    private static FloatTensor random(Shape shape, Random random) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.05f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    private static void delete(Path work) throws IOException {
        try (Stream<Path> inside = Files.walk(work)) {
            for (Path file : inside.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
