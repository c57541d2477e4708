package dev.adapt.cli;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.AdapterSize;
import dev.adapt.formats.adapter.Lors;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.model.Binding;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.SequencedSet;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

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

    @Mixin
    private GroupsOption groups = new GroupsOption();

    @Option(
            names = "--target",
            split = ",",
            paramLabel = "NAME",
            description = "modules to adapt, by name or end of name (as adapt train chooses them)")
    private List<String> names = new ArrayList<>();

    @Option(names = "--json", description = "print JSON")
    private boolean json;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        if (!methods.contains(TrainCommand.Method.LORS)) {
            new GivenOptions(spec).refuse("only lors has groups", "--groups");
        }
        for (int rank : ranks) {
            if (rank < 1) {
                throw new UsageException("--rank: expected at least 1, found " + rank);
            }
        }
        ModelConfig model = ModelConfig.at(config);
        List<AdapterSize> sizes = new ArrayList<>();
        SequencedMap<String, SequencedSet<String>> methodsOn = new LinkedHashMap<>();
        for (TrainCommand.Method method : methods) {
            List<String> chosen = chosen(method, Architecture.of(model));
            for (int rank : ranks) {
                AdapterSize size = planned(method, rank, Binding.targets(model, chosen));
                sizes.add(size);
                methodsOn
                        .computeIfAbsent(String.join(", ", chosen), absent -> new LinkedHashSet<>())
                        .add(size.method());
            }
        }
        if (json) {
            Terminal.json(asJson(sizes));
        } else {
            Terminal.lines(on(methodsOn) + asText(sizes));
        }
        return 0;
    }

    private List<String> chosen(TrainCommand.Method method, Architecture architecture) {
        if (!names.isEmpty()) {
            return names;
        }
        return method == TrainCommand.Method.LORS ? architecture.stackModules() : architecture.usualTargets();
    }

    private AdapterSize planned(TrainCommand.Method method, int rank, List<Target> targets) {
        if (method != TrainCommand.Method.LORS) {
            return AdapterSize.planned(method.ofRank(rank), targets);
        }
        Lors stacks = groups.lors(List.of(rank));
        GroupsOption.requireFit(stacks, targets);
        return AdapterSize.planned(stacks, targets);
    }

    private static String on(SequencedMap<String, SequencedSet<String>> methodsOn) {
        if (methodsOn.size() == 1) {
            return "On " + Printable.message(methodsOn.firstEntry().getKey()) + ":\n";
        }
        StringBuilder text = new StringBuilder();
        methodsOn.forEach((modules, methods) -> text.append(String.join(", ", methods))
                .append(" on ")
                .append(Printable.message(modules))
                .append('\n'));
        return text.toString();
    }

    private static String asText(List<AdapterSize> sizes) {
        TextTable table = new TextTable("method", "rank", "layers", "trained parameters", "compared", "stored");
        for (AdapterSize size : sizes) {
            table.row(
                    size.method(),
                    size.ranks(),
                    size.modules(),
                    String.format(Locale.ROOT, "%,d", size.trained()),
                    compared(size),
                    new Bytes(size.bytes()));
        }
        return table.toString();
    }

    private static String compared(AdapterSize size) {
        boolean stacks = size.plainParameters().isPresent();
        double share = 100.0 * size.trained() / (stacks ? size.plainParameters() : size.loraParameters()).orElseThrow();
        return String.format(
                Locale.ROOT,
                (share < 10 ? "%.2f %%" : "%.1f %%") + (stacks ? " of the plain layers'" : " of LoRA's"),
                share);
    }

    private static ArrayNode asJson(List<AdapterSize> sizes) {
        ArrayNode nodes = new JsonMapper().createArrayNode();
        for (AdapterSize size : sizes) {
            ObjectNode node = nodes.addObject();
            node.put("method", size.method());
            if (size.ranks().contains(",")) {
                node.put("ranks", size.ranks());
            } else {
                node.put("rank", Integer.parseInt(size.ranks()));
            }
            node.put("layers", size.modules());
            node.put("trained_parameters", size.trained());
            node.put("stored_bytes", size.bytes());
            node.put("lora_parameters_of_that_rank", size.loraParameters().orElseThrow());
            size.plainParameters().ifPresent(plain -> node.put("plain_parameters", plain));
        }
        return nodes;
    }
}
