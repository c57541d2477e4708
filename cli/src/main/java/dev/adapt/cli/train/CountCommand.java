package dev.adapt.cli.train;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.inspect.InspectCommand;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.AdapterSize;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.lors.LorsLayout;
import dev.adapt.formats.lors.StackSize;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Target;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.SequencedMap;
import java.util.SequencedSet;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code adapt count}: what an adapter would cost, before there are weights. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Counts the parameters that an adapter would train on a model, and its size in float32: of the tensors that"
                    + " `adapt train` would start with. It needs only the model's config.json.",
            "With adapter folders it counts their tensors."
        },
        footer = {"", "Example: adapt count --method lora,vera --rank 8,256 --config bert/config.json"})
public final class CountCommand implements Callable<Integer> {
    @Parameters(
            paramLabel = "ADAPTER",
            arity = "0..*",
            description = "adapter folders to count; then no other option is needed")
    private List<Path> adapters = List.of();

    @Option(
            names = "--method",
            split = ",",
            paramLabel = "METHOD",
            completionCandidates = TrainedMethod.Names.class,
            converter = TrainedMethod.Converter.class,
            description = "one or several of ${COMPLETION-CANDIDATES}")
    private List<TrainedMethod> methods = new ArrayList<>();

    @Option(
            names = "--config",
            paramLabel = "FILE|DIR",
            description = "the model's config.json, or its folder; a .yaml file: options, by long names")
    private Optional<Path> config = Optional.empty();

    @Option(names = "--rank", split = ",", paramLabel = "N", description = "one rank or several")
    private List<Integer> ranks = new ArrayList<>();

    @Mixin
    private GroupsOption groups = new GroupsOption();

    @Option(
            names = "--target",
            split = ",",
            paramLabel = "NAME",
            description = "modules to adapt, by name or end of name (default: as in adapt train)")
    private List<String> names = new ArrayList<>();

    @Mixin
    private JsonOption json = new JsonOption();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        json.require();
        boolean planned = !methods.isEmpty() || config.isPresent() || !ranks.isEmpty();
        if (planned ? methods.isEmpty() || config.isEmpty() || ranks.isEmpty() : adapters.isEmpty()) {
            throw new UsageException("give adapter folders, or --method, --rank and --config");
        }
        if (planned && !adapters.isEmpty()) {
            throw new UsageException("give adapter folders, or --method, --rank and --config, not both");
        }
        if (!planned) {
            new GivenOptions(spec).refuse("an adapter folder has its own", "--target", "--groups");
        }
        return planned ? countPlanned(config.get()) : countAdapters();
    }

    private int countAdapters() throws IOException {
        List<AdapterSize> sizes = new ArrayList<>();
        for (Path adapter : adapters) {
            sizes.add(InspectCommand.sizeOf(adapter));
        }
        if (!json.prints()) {
            Terminal.lines(asText(sizes));
        }
        json.write(asJson(sizes));
        return 0;
    }

    private int countPlanned(Path path) throws IOException {
        if (methods.stream().noneMatch(TrainedMethod.Stacks.class::isInstance)) {
            new GivenOptions(spec).refuse("only lors has groups", "--groups");
        }
        for (int rank : ranks) {
            if (rank < 1) {
                throw new UsageException("--rank: expected at least 1, found " + rank);
            }
        }
        ModelConfig model = ModelConfig.at(path);
        List<AdapterSize> sizes = new ArrayList<>();
        SequencedMap<String, SequencedSet<String>> methodsOn = new LinkedHashMap<>();
        for (TrainedMethod method : methods) {
            List<String> chosen = chosen(method, Architectures.of(model));
            // a method without a rank is counted once
            boolean ranked = !(method instanceof TrainedMethod.Adapter(MethodType type))
                    || type.training().rank().isPresent();
            for (int rank : ranked ? ranks : ranks.subList(0, 1)) {
                AdapterSize size = planned(method, rank, Binding.targets(model, chosen));
                sizes.add(size);
                methodsOn
                        .computeIfAbsent(String.join(", ", chosen), absent -> new LinkedHashSet<>())
                        .add(size.method());
            }
        }
        if (!json.prints()) {
            Terminal.lines(on(methodsOn) + asText(sizes));
        }
        json.write(asJson(sizes));
        return 0;
    }

    private List<String> chosen(TrainedMethod method, Architecture architecture) {
        boolean all = names.isEmpty() && method instanceof TrainedMethod.Stacks;
        return all ? architecture.stackModules() : architecture.targets(names);
    }

    private AdapterSize planned(TrainedMethod method, int rank, List<Target> targets) {
        return switch (method) {
            case TrainedMethod.Adapter adapter -> {
                AdapterMethod own = MethodOptions.ofRank(adapter, rank);
                targets.stream()
                        .filter(Target::isParameter)
                        .findFirst()
                        .ifPresent(stack -> own.unlessStacked().ifPresent(reason -> {
                            throw new UsageException(own.title() + ": " + stack.parameter() + " " + reason);
                        }));
                yield AdapterSize.planned(own, targets);
            }
            case TrainedMethod.Stacks _ -> {
                LorsLayout stacks = groups.lors(List.of(rank));
                GroupsOption.requireFit(stacks, targets);
                yield StackSize.planned(stacks, targets);
            }
            case TrainedMethod.Full _ -> throw new UsageException("full is all parameters of a model, and has no rank");
        };
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
        OptionalLong compared = stacks ? size.plainParameters() : size.loraParameters();
        if (compared.isEmpty()) {
            return "-"; // it has no rank, or does not tell the widths of its layers
        }
        double share = 100.0 * size.trained() / compared.getAsLong();
        return String.format(
                Locale.ROOT,
                (share < 10 ? "%.2f %%" : "%.1f %%") + (stacks ? " of the plain layers'" : " of LoRA's"),
                share);
    }

    private static ObjectNode asJson(List<AdapterSize> sizes) {
        ObjectNode root = new JsonMapper().createObjectNode();
        ArrayNode nodes = root.putArray("counts");
        for (AdapterSize size : sizes) {
            ObjectNode node = nodes.addObject();
            node.put("method", size.method());
            if (size.ranks().contains(",")) {
                node.put("ranks", size.ranks());
            } else if (!size.ranks().isEmpty()) {
                node.put("rank", Integer.parseInt(size.ranks()));
            }
            node.put("layers", size.modules());
            node.put("trained_parameters", size.trained());
            node.put("stored_bytes", size.bytes());
            size.loraParameters().ifPresent(lora -> node.put("lora_parameters_of_that_rank", lora));
            size.plainParameters().ifPresent(plain -> node.put("plain_parameters", plain));
        }
        return root;
    }
}
