package dev.adapt.cli.convert;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.single.ModelPart;
import dev.adapt.merge.convert.Conversion;
import dev.adapt.merge.convert.Conversion.Form;
import dev.adapt.merge.convert.SharedMatrices;
import dev.adapt.merge.lowrank.Rounding;
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

/** {@code adapt convert}: an adapter in another form. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Writes an adapter in another form: as plain LoRA, which every server runs; at a lower rank, with the error"
                    + " printed; in another dtype; with or without what its seed draws; with kohya's keys, or from them.",
            "The head and other modules that the adapter holds whole, and what it records of its base, are kept."
        },
        footer = {
            "",
            "Examples: adapt convert my-vera --to lora --out my-lora",
            "          adapt convert my-lora --rank 4 --dtype bf16 --out small",
            "          adapt convert lora.safetensors --base base --out my-lora"
        })
public final class ConvertCommand implements Callable<Integer> {
    /** What {@code --to} takes. */
    enum To {
        LORA,
        KOHYA
    }

    @Parameters(
            paramLabel = "ADAPTER",
            description = "adapter folder, or a .safetensors file of kohya, LyCORIS, diffusers or ComfyUI")
    private Path adapter = Path.of("");

    @Option(
            names = "--out",
            required = true,
            paramLabel = "DIR|FILE",
            description = "folder to write; for kohya's keys a .safetensors file")
    private Path out = Path.of("");

    @Option(
            names = "--to",
            paramLabel = "FORM",
            description = "lora (one rank and one alpha for all layers) or kohya (lora_down, lora_up and alpha)")
    private Optional<To> to = Optional.empty();

    @Option(
            names = "--base",
            paramLabel = "DIR|FILE",
            description =
                    "the base; needed for DoRA and where the adapter does not record the widths or names of its layers")
    private Optional<Path> base = Optional.empty();

    @Mixin
    private CutOptions cut = new CutOptions();

    @Option(
            names = "--pad-rank",
            paramLabel = "N",
            description =
                    "with --to lora: fill all layers' factors with zeros up to rank N, as a server allocates them")
    private Optional<Integer> padRank = Optional.empty();

    @Option(
            names = "--dtype",
            paramLabel = "DTYPE",
            description = "dtype of all tensors: f32, f16 or bf16 (default: unchanged; f32 for computed factors)")
    private Optional<StoredAs> dtype = Optional.empty();

    @Option(
            names = "--save-projection",
            description = "also store matrices that a seed regenerates, such as VeRA's shared A and B")
    private boolean saveProjection;

    @Option(
            names = "--no-projection",
            description =
                    "leave it out, if the seed draws it again bit for bit; of VB-LoRA, which has no seed, the logits"
                            + " of vectors that are not used")
    private boolean noProjection;

    @Option(
            names = "--only",
            paramLabel = "MODEL",
            description = "the model whose adapter to take from a file with several: unet, te1, te2 or te3")
    private Optional<ModelPart> only = Optional.empty();

    @Option(names = "--prefix", paramLabel = "TEXT", description = "prefix of kohya's keys (default: lora_unet_)")
    private Optional<String> prefix = Optional.empty();

    @Option(names = "--force", description = "accept a base that the adapter was not trained on")
    private boolean force;

    @Mixin
    private JsonOption json = new JsonOption();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        json.require();
        if (only.isPresent() && !Files.isRegularFile(adapter)) {
            throw new UsageException(
                    "--only is for a file with adapters of several models, and " + adapter + " is none");
        }
        if (base.isEmpty()) {
            new GivenOptions(spec).refuse("accepts another base than the adapter's, and no --base is given", "--force");
        }
        Conversion conversion =
                new Conversion(form(), cut.cut(), dtype.map(StoredAs::dtype), projection(), prefix, only, padRank);
        Outputs outputs = output.apartFrom(List.of(adapter), List.of(base));
        Conversion.Result result;
        if (base.isPresent()) {
            try (Checkpoint checkpoint = Checkpoints.open(base.get())) {
                result = conversion.convert(adapter, Optional.of(checkpoint), force, out, outputs);
            }
        } else {
            result = conversion.convert(adapter, Optional.empty(), force, out, outputs);
        }
        if (!json.prints()) {
            Terminal.lines(text(result));
        }
        json.write(asJson(result));
        return 0;
    }

    private Form form() {
        if (padRank.isPresent() && to.filter(To.LORA::equals).isEmpty()) {
            throw new UsageException("--pad-rank is for --to lora");
        }
        if (prefix.isPresent() && to.filter(To.KOHYA::equals).isEmpty()) {
            throw new UsageException("--prefix is for --to kohya");
        }
        boolean file = out.toString().endsWith(".safetensors");
        if (to.filter(To.KOHYA::equals).isPresent() != file) {
            throw new UsageException(
                    file
                            ? "--out " + out + ": only --to kohya writes a file; give a folder"
                            : "--out " + out + ": --to kohya writes one file; give a name that ends with .safetensors");
        }
        return to.map(form -> form == To.LORA ? Form.LORA : Form.KOHYA).orElse(Form.SAME);
    }

    private SharedMatrices projection() {
        if (saveProjection && noProjection) {
            throw new UsageException("--save-projection and --no-projection exclude each other: give one");
        }
        if (noProjection) {
            return SharedMatrices.LEFT_OUT;
        }
        return saveProjection ? SharedMatrices.SAVED : SharedMatrices.AS_THEY_ARE;
    }

    private String text(Conversion.Result result) {
        StringBuilder text = new StringBuilder();
        if (!result.layers().isEmpty()) {
            TextTable table = new TextTable("module", "out", "in", "rank", "to", "norm", "error", "share");
            for (Conversion.Change layer : result.layers()) {
                table.row(
                        layer.module(),
                        layer.out(),
                        layer.in(),
                        layer.rankBefore(),
                        layer.rankAfter(),
                        number(layer.norm()),
                        number(layer.error()),
                        number(layer.norm() == 0 ? 0 : layer.error() / layer.norm()));
            }
            text.append(table).append('\n');
            text.append(String.format(
                    Locale.ROOT, "error of all updates together: %.3g of their norm%n", result.relativeError()));
        }
        text.append(rounding(result.rounding()));
        text.append(String.format("%s: %s of tensors%n", Printable.message(out.toString()), new Bytes(result.bytes())));
        return text.toString();
    }

    /** A line on the largest rounding error; none where nothing was rounded. */
    static String rounding(Rounding rounding) {
        return rounding.absolute() == 0
                ? ""
                : String.format(
                        Locale.ROOT,
                        "largest rounding error: %.3g (%.2g of the largest element) in %s%n",
                        rounding.absolute(),
                        rounding.relative(),
                        Printable.name(rounding.tensor()));
    }

    static String number(double value) {
        return String.format(Locale.ROOT, "%.3e", value);
    }

    private ObjectNode asJson(Conversion.Result result) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("out", out.toString());
        ArrayNode layers = root.putArray("layers");
        for (Conversion.Change layer : result.layers()) {
            ObjectNode node = layers.addObject();
            node.put("module", layer.module());
            node.put("out", layer.out());
            node.put("in", layer.in());
            node.put("rank_before", layer.rankBefore());
            node.put("rank", layer.rankAfter());
            node.put("norm", layer.norm());
            node.put("error", layer.error());
        }
        root.put("relative_error", result.relativeError());
        root.put("largest_rounding_error", result.rounding().absolute());
        root.put("bytes", result.bytes());
        return root;
    }
}
