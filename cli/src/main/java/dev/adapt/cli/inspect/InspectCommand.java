package dev.adapt.cli.inspect;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Adapters;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.HeadNote;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.AdapterSize;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.lors.StackSize;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.onnx.OnnxSummary;
import dev.adapt.formats.onnx.export.OnnxAdapter;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code adapt inspect}: what a safetensors file, a checkpoint or an adapter holds. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Says what a file or folder is and lists its tensors: name, shape, dtype and size. Tensors that differ only in the"
                    + " numbers of their layers share a line.",
            "Checkpoint: also class, layers, heads, labels and metadata. Adapter: method, rank, trained parameters, and the"
                    + " parameters of LoRA of the same rank. Model whose layers share weights (LORS): its size without"
                    + " sharing. ONNX: producer, opsets, inputs, outputs, operators and initializers; external data is not"
                    + " read. GGUF: architecture, types and metadata."
        },
        footer = {"", "Examples: adapt inspect demo/vera-adapter", "          adapt inspect model.onnx --json"})
public final class InspectCommand implements Callable<Integer> {
    @Parameters(
            paramLabel = "FILE|DIR",
            description = "checkpoint or adapter folder, or a .safetensors, .onnx, .gguf or .onnx_adapter file")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path path;

    @Option(
            names = "--base",
            paramLabel = "DIR",
            description = "base of the adapter; needed if the adapter does not record the shapes of its layers")
    private Optional<Path> base = Optional.empty();

    @Option(names = "--tensors", description = "list each tensor by itself")
    private boolean each;

    @Mixin
    private JsonOption json = new JsonOption();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        json.require();
        if (json.prints()) {
            new GivenOptions(spec).refuse("JSON lists each tensor", "--tensors");
        }
        if (OnnxAdapter.isNamed(path)) {
            requireNoBase("is an .onnx_adapter file, which holds its layers' widths");
            OnnxAdapter adapter = OnnxAdapter.read(path);
            if (!json.prints()) {
                Terminal.lines(asText(adapter));
            }
            json.write(asJson(adapter));
            return 0;
        }
        if (isOnnx()) {
            requireNoBase("is an ONNX file");
            OnnxListing listing = new OnnxListing(path, OnnxSummary.of(path));
            if (!json.prints()) {
                Terminal.lines(listing.text(each));
            }
            json.write(listing.json());
            return 0;
        }
        if (GgufFile.isNamed(path)) {
            requireNoBase("is a GGUF file");
            try (GgufFile file = GgufFile.open(path)) {
                GgufListing listing = new GgufListing(path, file.header());
                if (!json.prints()) {
                    Terminal.lines(listing.text(each));
                }
                json.write(listing.json());
            }
            return 0;
        }
        boolean adapter = Files.exists(path.resolve(AdapterConfig.FILE));
        List<Path> tree = Adapter.within(path);
        if (!adapter && !tree.isEmpty()) {
            requireNoBase("is a tree of folders, not one adapter");
            new GivenOptions(spec).refuse(path + " is a tree of folders, not one adapter", "--tensors");
            printTree(tree);
            return 0;
        }
        if (!adapter) {
            requireNoBase("is not an adapter folder");
        }
        try (Checkpoint checkpoint = Checkpoints.open(adapter ? path.resolve(Adapter.FILE) : path)) {
            Optional<AdapterSize> size = adapter ? Optional.of(sizeOfAdapter()) : Optional.empty();
            if (!json.prints()) {
                print(checkpoint, size);
            }
            json.write(asJson(checkpoint, size));
        }
        return 0;
    }

    private boolean isOnnx() {
        return path.toString().endsWith(".onnx") && !Files.isDirectory(path);
    }

    private void requireNoBase(String why) {
        new GivenOptions(spec).refuse(path + " " + why, "--base");
    }

    private String asText(OnnxAdapter adapter) {
        TensorLines tensors = new TensorLines();
        adapter.parameters()
                .forEach((name, tensor) -> tensors.add(new TensorLines.Line(
                        name, tensor.shape(), "F32", 4 * tensor.shape().elements())));
        TextTable about = new TextTable("adapter for ONNX Runtime", path.toString())
                .row("parameters", String.format("%,d", adapter.bytes() / Float.BYTES))
                .row("base", "not recorded: the format has no field for it");
        return about + "\n" + tensors.table(each) + "\n" + adapter.parameters().size() + " tensors, "
                + new Bytes(adapter.bytes()) + "\n";
    }

    private ObjectNode asJson(OnnxAdapter adapter) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("path", path.toString());
        root.put("format", "onnx_adapter");
        ArrayNode tensors = root.putArray("tensors");
        adapter.parameters().forEach((name, tensor) -> {
            ObjectNode node = tensors.addObject();
            node.put("name", name);
            node.put("dtype", "F32");
            ArrayNode shape = node.putArray("shape");
            tensor.shape().dims().forEach(shape::add);
        });
        root.put("bytes", adapter.bytes());
        return root;
    }

    /** The adapters of a folder tree, one a line. */
    private void printTree(List<Path> tree) throws IOException {
        TextTable table = new TextTable("adapter", "method", "rank", "modules", "trained", "file");
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("path", path.toString());
        ArrayNode nodes = root.putArray("adapters");
        for (Path folder : tree) {
            AdapterSize size = sizeOf(folder);
            table.row(
                    path.relativize(folder),
                    size.method(),
                    size.ranks(),
                    size.modules(),
                    String.format("%,d", size.trained()),
                    new Bytes(size.bytes()));
            describe(size, nodes.addObject().put("path", folder.toString()));
        }
        if (!json.prints()) {
            Terminal.lines(table.toString());
        }
        json.write(root);
    }

    private AdapterSize sizeOfAdapter() throws IOException {
        if (base.isEmpty()) {
            return sizeOf(path);
        }
        try (Checkpoint checkpoint = Checkpoints.open(base.get())) {
            return AdapterSize.of(Adapters.read(path), checkpoint);
        }
    }

    /** The cost of an adapter, or of a model whose layers share weights, as far as its own folder tells. */
    public static AdapterSize sizeOf(Path folder) throws IOException {
        if (!StackedModel.isIn(folder)) {
            return AdapterSize.of(Adapters.read(folder));
        }
        try (StackedModel.Opened opened = StackedModel.open(folder)) {
            return StackSize.of(opened.whole(), folder.resolve(Adapter.FILE));
        }
    }

    private void print(Checkpoint checkpoint, Optional<AdapterSize> size) {
        size.ifPresent(own -> printAdapter(own));
        if (size.isEmpty()) {
            checkpoint.config().ifPresent(config -> Terminal.table(new ModelLines(path, config).table()));
        }
        checkpoint
                .config()
                .flatMap(config -> new ModelConfig(config).ownPooling())
                .ifPresent(pooling -> Terminal.note(HeadNote.of(pooling)));
        TensorLines tensors = new TensorLines();
        for (TensorView tensor : checkpoint.tensors().values()) {
            tensors.add(new TensorLines.Line(
                    tensor.name(),
                    tensor.shape(),
                    tensor.dtype().toString(),
                    tensor.info().bytes()));
        }
        Terminal.table(tensors.table(each));
        for (SafetensorsFile file : checkpoint.files()) {
            new TreeMap<>(file.metadata())
                    .forEach((key, value) ->
                            Terminal.line(file.path().getFileName() + " metadata " + key + " = " + value));
        }
        Terminal.line(
                "%d tensors, %,d elements, %s in %d file%s",
                checkpoint.tensors().size(),
                elements(checkpoint),
                new Bytes(bytes(checkpoint)),
                checkpoint.files().size(),
                checkpoint.files().size() == 1 ? "" : "s");
    }

    private void printAdapter(AdapterSize size) {
        TextTable table = new TextTable("adapter", path.toString())
                .row("method", size.method())
                .row("rank", size.ranks())
                .row("adapted modules", size.modules())
                .row("trained parameters", String.format("%,d", size.trained()))
                .row(
                        size.plainParameters().isPresent() ? "other parameters" : "head parameters",
                        String.format("%,d", size.head()))
                .row("file", new Bytes(size.bytes()));
        if (size.plainParameters().isPresent()) {
            long plain = size.plainParameters().getAsLong();
            table.row(
                    "plain layers",
                    String.format(
                            "%,d parameters, %s in float32; with shared weights %.1f %% of that",
                            plain, new Bytes(4 * plain), 100.0 * size.trained() / plain));
            Terminal.table(table);
            return;
        }
        size.loraParameters()
                .ifPresentOrElse(
                        lora -> table.row(
                                "LoRA of that rank",
                                String.format("%,d parameters, %s in float32", lora, new Bytes(4 * lora))),
                        () -> table.row(
                                "LoRA of that rank",
                                "unknown: the file does not tell the layers' widths; give --base"));
        Terminal.table(table);
    }

    private ObjectNode asJson(Checkpoint checkpoint, Optional<AdapterSize> size) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("path", path.toString());
        size.ifPresent(own -> describe(own, root.putObject("adapter")));
        checkpoint.config().ifPresent(config -> root.set("config", config.json()));
        ArrayNode tensors = root.putArray("tensors");
        for (TensorView tensor : checkpoint.tensors().values()) {
            ObjectNode node = tensors.addObject();
            node.put("name", tensor.name());
            node.put("dtype", tensor.dtype().name());
            ArrayNode shape = node.putArray("shape");
            tensor.shape().dims().forEach(shape::add);
            node.put("bytes", tensor.info().bytes());
            node.put("file", String.valueOf(tensor.file().getFileName()));
        }
        ObjectNode metadata = root.putObject("metadata");
        for (SafetensorsFile file : checkpoint.files()) {
            ObjectNode own = metadata.putObject(String.valueOf(file.path().getFileName()));
            for (Map.Entry<String, String> entry : new TreeMap<>(file.metadata()).entrySet()) {
                own.put(entry.getKey(), entry.getValue());
            }
        }
        root.put("elements", elements(checkpoint));
        root.put("bytes", bytes(checkpoint));
        return root;
    }

    private static void describe(AdapterSize size, ObjectNode node) {
        node.put("method", size.method());
        node.put("rank", size.ranks());
        node.put("modules", size.modules());
        node.put("trained_parameters", size.trained());
        node.put("head_parameters", size.head());
        node.put("file_bytes", size.bytes());
        size.loraParameters().ifPresent(lora -> node.put("lora_parameters_of_that_rank", lora));
        size.plainParameters().ifPresent(plain -> node.put("plain_parameters", plain));
    }

    private static long elements(Checkpoint checkpoint) {
        return checkpoint.tensors().values().stream()
                .mapToLong(tensor -> tensor.shape().elements())
                .sum();
    }

    private static long bytes(Checkpoint checkpoint) {
        return checkpoint.tensors().values().stream()
                .mapToLong(tensor -> tensor.info().bytes())
                .sum();
    }
}
