package dev.adapt.cli.export;

import dev.adapt.cli.options.Adapters;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.client.Client;
import dev.adapt.formats.onnx.client.ClientFolder;
import dev.adapt.formats.onnx.export.AdapterInputs;
import dev.adapt.formats.onnx.export.OnnxExport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.TypeConversionException;

/** {@code adapt export-onnx}: a checkpoint's forward pass as an ONNX graph. */
@Command(
        mixinStandardHelpOptions = true,
        description = {
            "Writes a checkpoint as an ONNX model, batch and sequence of any size.",
            "By default the weights stay in the checkpoint's safetensors file, and the model, of some kilobytes, points to"
                    + " them: write it into that folder and keep the two together. With --self-contained it holds them"
                    + " itself; from 2 GB on they go to a second file beside it, named as the model with _data added.",
            "With --dtype fp16 matrix products are float16; normalisations, softmax and sums are float32. This is for GPUs:"
                    + " CPUs convert back and forth. F16 weights stay where they are; others are converted into a file"
                    + " beside the model. With fp32, weights stored as F16 or BF16 are widened when a session loads.",
            "With --dtype int8 the weights of linear layers and embeddings are 8-bit integers, and so are matrix products;"
                    + " with int4 the weights of linear layers have 4 bits. Such a model is always self-contained. With"
                    + " --data, its outputs for your texts are compared with the checkpoint's.",
            "With --for, writes a folder that a program loads: langchain4j, spring-ai, transformers.js, optimum, vespa or"
                    + " opensearch. Pooling and normalisation are read from modules.json of sentence-transformers, where the"
                    + " checkpoint has it.",
            "With --adapter-inputs or --target the model accepts adapters at run time, as `export-adapter` writes them."
                    + " Without an active adapter it computes the checkpoint itself."
        },
        footer = {
            "",
            "Examples: adapt export-onnx merged --out merged/model.onnx",
            "          adapt export-onnx merged --for langchain4j --dtype int8 \\",
            "                            --data texts.txt --out embedder",
            "          adapt export-onnx base --adapter-inputs lora --adapter-inputs vera \\",
            "                            --out base/model.onnx"
        })
public final class ExportOnnxCommand implements Callable<Integer> {
    private static final class Precisions implements ITypeConverter<OnnxPrecision> {
        @Override
        public OnnxPrecision convert(String value) {
            return OnnxPrecision.named(value)
                    .orElseThrow(() ->
                            new TypeConversionException("expected fp32, fp16, int8 or int4 but was '" + value + "'"));
        }
    }

    @Parameters(
            paramLabel = "DIR",
            description =
                    "the checkpoint: a folder, or a .safetensors file with its config.json; or the folder of a model"
                            + " whose layers share weights (LORS), whose low-rank products then stay separate")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path path;

    @Option(
            names = "--out",
            paramLabel = "PATH",
            required = true,
            description = "the .onnx file to write, or with --for the folder")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path out;

    @Option(names = "--self-contained", description = "copy the weights into the model")
    private boolean selfContained;

    @Option(
            names = "--dtype",
            paramLabel = "fp32|fp16|int8|int4",
            defaultValue = "fp32",
            converter = Precisions.class,
            description =
                    "number type of weights and matrix products (default: ${DEFAULT-VALUE}); inputs and outputs are integers and"
                            + " float32 always")
    private OnnxPrecision precision = OnnxPrecision.FP32;

    @Option(
            names = "--adapter",
            paramLabel = "DIR",
            description =
                    "an adapter to export beside the checkpoint's weights, unmerged, as matrix products of its own")
    private Optional<Path> adapter = Optional.empty();

    @Option(
            names = "--adapter-inputs",
            paramLabel = "DIR",
            split = ",",
            description =
                    "give the model optional inputs for adapters of the same modules as this one; repeat for other modules")
    private List<Path> adapterInputs = List.of();

    @Option(
            names = "--target",
            paramLabel = "NAMES",
            split = ",",
            description = "give the model optional inputs for adapters of these modules, such as query,value")
    private List<String> targets = List.of();

    @Option(
            names = "--with-past",
            description =
                    "language models: add inputs and outputs for the key-value cache, so that generating text computes each"
                            + " token once")
    private boolean past;

    @Mixin
    private ResultOptions result = new ResultOptions();

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        boolean inputs = !adapterInputs.isEmpty() || !targets.isEmpty();
        if (inputs && adapter.isPresent()) {
            throw new UsageException("--adapter writes one adapter into the model, --adapter-inputs and --target leave"
                    + " its place open: give one or the other");
        }
        result.check(inputs || past, selfContained, precision);
        long start = System.nanoTime();
        if (StackedModel.isIn(path)) {
            if (inputs || adapter.isPresent()) {
                throw new UsageException(
                        path
                                + " is a whole model, whose layers share weights (LORS), and takes no adapters; merge it first");
            }
            try (StackedModel.Opened opened = StackedModel.open(path)) {
                export(opened.whole().model(), List.of(opened.file().snapshot()), start);
            }
            return 0;
        }
        try (Checkpoint checkpoint = Checkpoints.open(path)) {
            export(inputs ? open(checkpoint) : model(checkpoint), checkpoint.snapshots(), start);
        }
        return 0;
    }

    private void export(Model model, List<Snapshot> read, long start) throws IOException {
        boolean inputs = !adapterInputs.isEmpty() || !targets.isEmpty();
        OnnxExport.Weights weights =
                selfContained || precision.isQuantized() ? OnnxExport.Weights.OWN : OnnxExport.Weights.LINKED;
        List<Path> adapters = new ArrayList<>(adapterInputs);
        adapters.add(path);
        Outputs outputs = output.apartFrom(adapters, List.of(adapter, result.data()));
        outputs.madeFrom(read);
        result.requireTokenTypes(model);
        Optional<Client> client = result.client();
        OnnxExport exported = client.isPresent()
                ? new ClientFolder(client.get(), source(), result.vectors(source()), precision, result.tokenTypes())
                        .write(model, out, outputs)
                : OnnxExport.run(
                        model,
                        out,
                        new OnnxExport.Options(
                                weights, precision, inputs, past, result.of(model, source()), result.tokenTypes()),
                        outputs);
        boolean own = client.isPresent() || weights == OnnxExport.Weights.OWN;
        Terminal.line(
                "%s: %s%s, opset %d, %d nodes%s, with %s of weights %s, in %.1f s",
                out,
                Files.exists(exported.model()) ? new Bytes(Files.size(exported.model())) + ", " : "",
                precision,
                exported.opset(),
                exported.nodes(),
                inputs ? ", " + exported.adapterInputs() + " inputs for adapters" : "",
                new Bytes(exported.weightBytes()),
                exported.data()
                        .map(data -> "in " + data + (own ? "" : " and " + path))
                        .orElse(own ? "inside" : "left in " + path),
                (System.nanoTime() - start) / 1e9);
        result.compare(model, source(), exported, precision);
    }

    /** The folder with the tokenizer. */
    private Path source() {
        return Files.isDirectory(path) ? path : path.resolveSibling("");
    }

    private Model model(Checkpoint checkpoint) throws IOException {
        return adapter.isEmpty()
                ? Model.of(checkpoint)
                : Model.of(checkpoint, new Binding(checkpoint).bind(Adapters.read(adapter.get()), false));
    }

    private Model open(Checkpoint checkpoint) throws IOException {
        Binding binding = new Binding(checkpoint);
        List<BoundAdapter> adapters = new ArrayList<>();
        for (Path folder : adapterInputs) {
            adapters.add(binding.bind(Adapters.read(folder), false));
        }
        return AdapterInputs.model(
                checkpoint,
                adapters,
                targets.isEmpty() ? List.of() : binding.targets(targets, Architectures.of(ModelConfig.of(checkpoint))));
    }
}
