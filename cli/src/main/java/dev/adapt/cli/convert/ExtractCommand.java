package dev.adapt.cli.convert;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.merge.convert.Extraction;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code adapt extract}: a LoRA adapter from two full checkpoints. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description =
                "Makes a LoRA adapter from the difference of two checkpoints, by truncated SVD of each linear layer, and tells the"
                        + " error of each and what was left out. Give --rank or --energy.",
        footer = {"", "Example: adapt extract --from tuned --base base --rank 16 --out my-lora"})
public final class ExtractCommand implements Callable<Integer> {
    @Option(names = "--from", required = true, paramLabel = "TUNED", description = "the fine-tuned checkpoint")
    private Path from = Path.of("");

    @Option(
            names = "--base",
            required = true,
            paramLabel = "BASE",
            description = "the checkpoint it was fine-tuned from")
    private Path base = Path.of("");

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "adapter folder to write")
    private Path out = Path.of("");

    @Mixin
    private CutOptions cut = new CutOptions();

    @Option(
            names = "--target",
            split = ",",
            paramLabel = "NAME",
            description = "layers to extract: whole names, or their ends (default: all linear layers of the body)")
    private List<String> targets = List.of();

    @Option(
            names = "--save",
            split = ",",
            paramLabel = "NAME",
            description = "modules stored in full, such as classifier")
    private List<String> saved = List.of();

    @Option(
            names = "--dtype",
            paramLabel = "DTYPE",
            defaultValue = "F32",
            description = "dtype of the factors: f32, f16 or bf16 (default: f32)")
    private StoredAs dtype = StoredAs.F32;

    @Mixin
    private JsonOption json = new JsonOption();

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        json.require();
        Extraction extraction = new Extraction(
                cut.cut().orElseThrow(() -> new UsageException("set --rank or --energy")),
                targets,
                saved,
                dtype.dtype());
        try (Checkpoint tuned = Checkpoints.open(from);
                Checkpoint original = Checkpoints.open(base)) {
            Extraction.Result result = extraction.extract(tuned, original, out, output.apartFrom(from, base));
            if (!json.prints()) {
                Terminal.lines(text(result));
            }
            json.write(asJson(result));
        }
        return 0;
    }

    private String text(Extraction.Result result) {
        StringBuilder text = new StringBuilder();
        TextTable table = new TextTable("module", "out", "in", "rank", "norm", "error", "share", "largest");
        for (Extraction.Layer layer : result.layers()) {
            table.row(
                    layer.module(),
                    layer.out(),
                    layer.in(),
                    layer.rank(),
                    ConvertCommand.number(layer.norm()),
                    ConvertCommand.number(layer.error()),
                    ConvertCommand.number(layer.error() / layer.norm()),
                    ConvertCommand.number(layer.largest()));
        }
        text.append(table);
        if (!result.saved().isEmpty()) {
            text.append("\nheld whole: ")
                    .append(Printable.message(String.join(", ", result.saved())))
                    .append('\n');
        }
        if (!result.leftOut().isEmpty()) {
            TextTable rest = new TextTable("left out", "shape", "size", "", "largest difference");
            for (Extraction.LeftOut tensor : result.leftOut()) {
                rest.row(
                        tensor.tensor(),
                        tensor.shape(),
                        new Bytes(tensor.bytes()),
                        tensor.why().name().toLowerCase(Locale.ROOT).replace('_', ' '),
                        tensor.why() == Extraction.Why.DIFFERS ? ConvertCommand.number(tensor.largest()) : "–");
            }
            text.append('\n').append(rest);
        }
        text.append('\n').append(ConvertCommand.rounding(result.rounding()));
        text.append(String.format(
                "%s: %d layers, %s of tensors; %d layers are the same in both%n",
                Printable.message(out.toString()),
                result.layers().size(),
                new Bytes(result.bytes()),
                result.unchanged()));
        return text.toString();
    }

    private ObjectNode asJson(Extraction.Result result) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("out", out.toString());
        ArrayNode layers = root.putArray("layers");
        for (Extraction.Layer layer : result.layers()) {
            ObjectNode node = layers.addObject();
            node.put("module", layer.module());
            node.put("out", layer.out());
            node.put("in", layer.in());
            node.put("rank", layer.rank());
            node.put("norm", layer.norm());
            node.put("error", layer.error());
            node.put("largest_error", layer.largest());
        }
        ArrayNode saved = root.putArray("saved");
        result.saved().forEach(saved::add);
        ArrayNode leftOut = root.putArray("left_out");
        for (Extraction.LeftOut tensor : result.leftOut()) {
            ObjectNode node = leftOut.addObject();
            node.put("tensor", tensor.tensor());
            ArrayNode shape = node.putArray("shape");
            tensor.shape().dims().forEach(shape::add);
            node.put("bytes", tensor.bytes());
            node.put("why", tensor.why().name().toLowerCase(Locale.ROOT));
            node.put("largest_difference", tensor.largest());
        }
        root.put("unchanged_layers", result.unchanged());
        root.put("largest_rounding_error", result.rounding().absolute());
        root.put("bytes", result.bytes());
        return root;
    }
}
