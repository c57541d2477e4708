package dev.adapt.cli.export;

import dev.adapt.cli.convert.CutOptions;
import dev.adapt.cli.options.Adapters;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgmlType;
import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.model.GgufAdapter;
import dev.adapt.formats.gguf.model.GgufExport;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.merge.convert.AdapterLayers;
import dev.adapt.merge.convert.Conversion;
import dev.adapt.merge.convert.SharedMatrices;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code adapt export-gguf}: a checkpoint, or a LoRA adapter, for llama.cpp and programs that read its files. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Writes a checkpoint as a GGUF file, which llama.cpp, Ollama and engines on the JVM load: weights, tokenizer and"
                    + " chat template in one file.",
            "With --base it writes an adapter as a GGUF file that llama.cpp applies while it runs. Methods of low rank are"
                    + " converted exactly; others need --rank or --energy, and the error is printed."
        },
        footer = {
            "",
            "Examples: adapt export-gguf merged --out merged.gguf --dtype q8_0",
            "          adapt export-gguf my-lora --base base --out my-lora.gguf"
        })
public final class ExportGgufCommand implements Callable<Integer> {
    /** What {@code --dtype} takes. */
    enum Stored {
        F32,
        F16,
        BF16,
        Q8_0;

        GgmlType type() {
            return GgmlType.valueOf(name());
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    @Parameters(
            paramLabel = "DIR",
            description =
                    "the checkpoint, a folder or a .safetensors file with its config.json; or an adapter's folder")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path path;

    @Option(names = "--out", paramLabel = "FILE", required = true, description = "the .gguf file to write")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path out;

    @Option(
            names = "--dtype",
            paramLabel = "DTYPE",
            description =
                    "type of the matrices: f32, f16, bf16 or q8_0 (that of the checkpoint; of an adapter f32); vectors and"
                            + " norms are f32")
    private Optional<Stored> dtype = Optional.empty();

    @Option(
            names = "--pre-tokenizer",
            paramLabel = "NAME",
            description = "llama.cpp's name of the pre-tokenizer, where it cannot be told from tokenizer.json")
    private Optional<String> preTokenizer = Optional.empty();

    @Option(names = "--base", paramLabel = "DIR", description = "the checkpoint that the adapter was trained on")
    private Optional<Path> base = Optional.empty();

    @Mixin
    private CutOptions cut = new CutOptions();

    @Option(names = "--force", description = "accept a base that the adapter was not trained on")
    private boolean force;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        boolean adapter = Files.exists(path.resolve(AdapterConfig.FILE));
        if (adapter && base.isEmpty()) {
            throw new UsageException(path + " is an adapter: give --base, the checkpoint it was trained on");
        }
        if (adapter) {
            new GivenOptions(spec).refuse("an adapter has no tokenizer", "--pre-tokenizer");
            return exportAdapter(base.orElseThrow());
        }
        new GivenOptions(spec).refuse(path + " is not an adapter folder", "--base", "--rank", "--energy", "--force");
        return exportModel();
    }

    private int exportAdapter(Path folder) throws IOException {
        long start = System.nanoTime();
        GgmlType type = dtype.map(Stored::type).orElse(GgmlType.F32);
        if (type == GgmlType.Q8_0) {
            throw new UsageException("--dtype: expected f32, f16 or bf16 for an adapter, found q8_0");
        }
        try (Checkpoint checkpoint = Checkpoints.open(folder)) {
            Adapter adapter = Adapters.read(path);
            Binding binding = new Binding(checkpoint);
            BoundAdapter bound = binding.bind(adapter, force);
            requireLora(bound);
            AdapterLayers source = AdapterLayers.of(adapter, bound, binding::weight);
            Conversion conversion = new Conversion(
                    Conversion.Form.LORA, cut.cut(), Optional.empty(), SharedMatrices.AS_THEY_ARE, Optional.empty());
            Conversion.Products products = conversion.products(source);
            List<GgufAdapter.Update> updates =
                    products.layers().stream().map(ExportGgufCommand::update).toList();
            GgufHeader header = GgufAdapter.write(
                    checkpoint,
                    path,
                    String.valueOf(path.getFileName()),
                    updates,
                    type,
                    out,
                    output.apartFrom(path, folder));
            if (cut.cut().isPresent()) {
                Terminal.line("error of all updates together: %.3g of their norm", products.relativeError());
            }
            print(out, header, start);
        }
        return 0;
    }

    private void requireLora(BoundAdapter bound) {
        String wayOut = "; merge it (adapt merge) and export the merged checkpoint";
        if (!bound.saved().isEmpty()) {
            throw new FormatException(
                    path,
                    bound.saved().keySet().iterator().next(),
                    "is a module that the adapter holds whole, which a LoRA file of llama.cpp cannot store" + wayOut);
        }
        boolean dora = bound.method().hasLowRankDelta() && !bound.method().isAdditive();
        if (dora || bound.method().changesBias()) {
            throw new FormatException(
                    path,
                    "is " + bound.method().title() + ", which changes more than a LoRA file of llama.cpp can store"
                            + wayOut);
        }
    }

    private static GgufAdapter.Update update(AdapterLayers.Layer layer) {
        DoubleTensor left = layer.factors().left();
        float[] scaled = new float[left.values().length];
        for (int i = 0; i < scaled.length; i++) {
            scaled[i] = (float) (left.values()[i] * layer.scale());
        }
        DoubleTensor right = layer.factors().right();
        return new GgufAdapter.Update(
                layer.target(),
                new FloatTensor(left.shape(), scaled),
                new FloatTensor(right.shape(), right.toFloats()));
    }

    private int exportModel() throws IOException {
        long start = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoints.open(path)) {
            GgufExport export = GgufExport.run(
                    checkpoint,
                    new GgufExport.Options(dtype.map(Stored::type), preTokenizer, Optional.empty()),
                    out,
                    output.apartFrom(path));
            export.notes().forEach(Terminal::note);
            print(out, export.header(), start);
        }
        return 0;
    }

    public static void print(Path out, GgufHeader header, long start) throws IOException {
        Terminal.line(
                "%s: %s, %d tensors, %s, in %.1f s",
                out,
                header.text("general.architecture").orElse(""),
                header.tensors().size(),
                new Bytes(Files.size(out)),
                (System.nanoTime() - start) / 1e9);
    }
}
