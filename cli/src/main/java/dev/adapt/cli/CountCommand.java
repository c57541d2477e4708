package dev.adapt.cli;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.AdapterMethod;
import dev.adapt.formats.adapter.AdapterSize;
import dev.adapt.formats.adapter.Target;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Binding;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code adapt count}: what an adapter would cost, before there are weights. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Counts the trained parameters of an adapter on a model of which only the config.json is needed, and the bytes"
                    + " of the tensors it would store in float32.",
            "It counts the tensors that adapt train would begin with."
        },
        footer = {"", "Example: adapt count --method lora,vera,condlora --rank 8,256 --config roberta-base/config.json"
        })
final class CountCommand implements Callable<Integer> {
    @Option(
            names = "--method",
            required = true,
            split = ",",
            paramLabel = "METHOD",
            description = "one or several of ${COMPLETION-CANDIDATES}")
    private List<TrainCommand.Method> methods = new ArrayList<>();

    @Option(
            names = "--config",
            required = true,
            paramLabel = "FILE|DIR",
            description = "the model's config.json, or the folder that holds it")
    private Path config = Path.of("");

    @Option(names = "--rank", required = true, split = ",", paramLabel = "N", description = "one rank or several")
    private List<Integer> ranks = new ArrayList<>();

    @Option(
            names = "--target",
            split = ",",
            paramLabel = "NAME",
            description = "modules to adapt, by name or end of name (as adapt train chooses them)")
    private List<String> names = new ArrayList<>();

    @Option(names = "--json", description = "print JSON")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        for (int rank : ranks) {
            if (rank < 1) {
                throw new UsageException("--rank: expected at least 1, found " + rank);
            }
        }
        ModelConfig model = ModelConfig.read(Files.isDirectory(config) ? config.resolve(ModelConfig.FILE) : config);
        List<String> chosen = names.isEmpty() ? Architecture.of(model).usualTargets() : names;
        List<Target> targets = Binding.targets(model, chosen);
        List<AdapterSize> sizes = new ArrayList<>();
        for (TrainCommand.Method method : methods) {
            for (int rank : ranks) {
                AdapterMethod own = method.ofRank(rank);
                sizes.add(AdapterSize.planned(own, targets));
            }
        }
        System.out.print(json ? asJson(sizes) : asText(sizes, chosen));
        return 0;
    }

    private static String asText(List<AdapterSize> sizes, List<String> targets) {
        TextTable table = new TextTable("method", "rank", "layers", "trained parameters", "of LoRA's", "stored");
        for (AdapterSize size : sizes) {
            double share = 100.0 * size.trained() / size.loraParameters().orElseThrow();
            table.row(
                    size.method(),
                    size.ranks(),
                    size.modules(),
                    String.format(Locale.ROOT, "%,d", size.trained()),
                    String.format(Locale.ROOT, share < 10 ? "%.2f %%" : "%.1f %%", share),
                    new Bytes(size.bytes()));
        }
        return "On " + String.join(", ", targets) + ":\n" + table;
    }

    private static String asJson(List<AdapterSize> sizes) {
        ArrayNode nodes = new JsonMapper().createArrayNode();
        sizes.forEach(size -> nodes.addObject()
                .put("method", size.method())
                .put("rank", Integer.parseInt(size.ranks()))
                .put("layers", size.modules())
                .put("trained_parameters", size.trained())
                .put("stored_bytes", size.bytes())
                .put("lora_parameters_of_that_rank", size.loraParameters().orElseThrow()));
        return nodes.toPrettyString() + "\n";
    }
}
