package dev.adapt.cli.train;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.lors.LorsLayout;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The hyperparameters of the methods that are trained. */
final class MethodOptions {
    /** The options that are short for a field. */
    private static final Map<String, String> OPTIONS = Map.of(
            "use_rslora", "--rslora",
            "use_dora", "--dora",
            "save_projection", "--save-projection",
            "projection_prng_key", "--projection-key");

    @Option(
            names = "--rank",
            split = ",",
            paramLabel = "N",
            description =
                    "rank of the update (default: 8; vera: 256); lors: of each residual, one for all layers or one for each")
    private List<Integer> ranks = new ArrayList<>();

    @Mixin
    private GroupsOption groups = new GroupsOption();

    @Option(
            names = "--alpha",
            paramLabel = "X",
            description = "the update is scaled by alpha/rank (default: lora 2 × rank, condlora 8 × rank)")
    private Optional<Double> alpha = Optional.empty();

    @Option(
            names = "--set",
            paramLabel = "FIELD=VALUE",
            description =
                    "any other setting of the method, by its name in adapter_config.json: --set oft_block_size=16")
    private Map<String, String> set = new LinkedHashMap<>();

    @Option(names = "--rslora", description = "scale the update by alpha/√rank instead (rsLoRA)")
    private boolean rankStabilised;

    @Option(names = "--dora", description = "also train the norm of each row of the weights (DoRA)")
    private boolean dora;

    @Option(
            names = "--dropout",
            paramLabel = "X",
            defaultValue = "0",
            description = "dropout of the adapter's input (default: ${DEFAULT-VALUE})")
    private double dropout;

    @Option(
            names = "--projection-key",
            paramLabel = "N",
            description = "random seed of matrices that are not trained or stored, such as VeRA's A and B (default: 0)")
    private Optional<Long> projectionKey = Optional.empty();

    @Option(names = "--save-projection", description = "also store the matrices that this seed regenerates")
    private boolean saveProjection;

    /** The rank and the alpha that a method is given where the user gives none, by their options. */
    Map<String, Object> chosen(TrainedMethod.Adapter method) {
        Map<String, Object> chosen = new LinkedHashMap<>();
        ObjectNode described = new JsonMapper().createObjectNode();
        adapter(method).describe(described);
        MethodType.Training training = method.type().training();
        training.rank().ifPresent(usual -> put(chosen, "rank", described.path(usual.field())));
        training.alpha().ifPresent(usual -> put(chosen, "alpha", described.path(usual.field())));
        return chosen;
    }

    private static void put(Map<String, Object> chosen, String option, JsonNode value) {
        if (value.isNumber()) {
            chosen.put(option, value.numberValue());
        }
    }

    /**
     * A method that adapts a base.
     *
     * @throws UsageException if an option is not the method's, or cannot be
     */
    AdapterMethod adapter(TrainedMethod.Adapter method) {
        if (groups.isGiven()) {
            throw new UsageException("--groups is LORS's: " + method + " has nothing like it");
        }
        if (ranks.size() > 1) {
            throw new UsageException("--rank: expected one number, found " + ranks.size());
        }
        requirePositive("--rank", ranks);
        if (dropout < 0 || dropout >= 1) {
            throw new UsageException("--dropout: expected 0 or more and below 1, found " + dropout);
        }
        MethodType.Training training = method.type().training();
        Map<String, JsonNode> settings = new LinkedHashMap<>(this.settings(method));
        ranks.forEach(rank -> put(settings, method, "--rank", training.rank(), IntNode.valueOf(rank)));
        alpha.ifPresent(own -> put(settings, method, "--alpha", training.alpha(), DoubleNode.valueOf(own)));
        if (dropout != 0) {
            put(
                    settings,
                    method,
                    "--dropout",
                    training.dropout().map(field -> new MethodType.Training.Usual(field, 0)),
                    DoubleNode.valueOf(dropout));
        }
        return method.with(settings);
    }

    /** A method with a rank, where it has one, and its other settings as usual. */
    static AdapterMethod ofRank(TrainedMethod.Adapter method, int rank) {
        return method.with(method.type().training().rank().stream()
                .collect(Collectors.toMap(MethodType.Training.Usual::field, usual -> IntNode.valueOf(rank))));
    }

    private static void put(
            Map<String, JsonNode> settings,
            TrainedMethod.Adapter method,
            String option,
            Optional<MethodType.Training.Usual> field,
            JsonNode value) {
        String name = field.orElseThrow(() -> new UsageException(option + ": " + method + " has nothing like it"))
                .field();
        if (settings.putIfAbsent(name, value) != null) {
            throw new UsageException(option + " and --set " + name + " say the same; give one of them");
        }
    }

    /** What {@code --set} and the switches say, by field. */
    private Map<String, JsonNode> settings(TrainedMethod.Adapter method) {
        Map<String, JsonNode> fields = new LinkedHashMap<>();
        set.forEach((field, value) -> fields.put(field, parsed(value)));
        Set<String> known =
                method.type().fresh(Path.of(method.toString()), Map.of()).configFields();
        Map<String, JsonNode> switches = new LinkedHashMap<>();
        if (rankStabilised) {
            switches.put("use_rslora", BooleanNode.TRUE);
        }
        if (dora) {
            switches.put("use_dora", BooleanNode.TRUE);
        }
        if (saveProjection) {
            switches.put("save_projection", BooleanNode.TRUE);
        }
        projectionKey.ifPresent(key -> switches.put("projection_prng_key", LongNode.valueOf(key)));
        switches.forEach((field, value) -> {
            if (!known.contains(field)) {
                throw new UsageException(OPTIONS.get(field) + ": " + method + " has nothing like it");
            }
            if (fields.putIfAbsent(field, value) != null) {
                throw new UsageException(
                        OPTIONS.get(field) + " and --set " + field + " say the same; give one of them");
            }
        });
        return fields;
    }

    /** JSON, or text as it stands. */
    private static JsonNode parsed(String value) {
        try {
            return new JsonMapper().readTree(value);
        } catch (JsonProcessingException e) {
            return TextNode.valueOf(value);
        }
    }

    /**
     * LORS.
     *
     * @throws UsageException if an option is not its own, or cannot be
     */
    LorsLayout lors() {
        requireNoAdapters(new TrainedMethod.Stacks());
        requirePositive("--rank", ranks);
        return groups.lors(ranks.isEmpty() ? List.of(8) : ranks);
    }

    /**
     * Makes sure that no ranks or groups are given, for models that have their own or need none.
     *
     * @throws UsageException if one is
     */
    void requireNone(TrainedMethod method, String why) {
        requireNoAdapters(method);
        if (!ranks.isEmpty() || groups.isGiven()) {
            throw new UsageException("--rank and --groups: " + why + "; leave them out");
        }
    }

    private void requireNoAdapters(TrainedMethod method) {
        boolean given = alpha.isPresent()
                || rankStabilised
                || dora
                || dropout != 0
                || !set.isEmpty()
                || saveProjection
                || projectionKey.isPresent();
        if (given) {
            throw new UsageException(
                    "--alpha, --rslora, --dora, --dropout, --projection-key, --save-projection and --set are for"
                            + " adapters beside a frozen base: " + method.title() + " has nothing like them");
        }
    }

    static void requirePositive(String option, List<Integer> numbers) {
        numbers.stream().filter(number -> number < 1).findFirst().ifPresent(number -> {
            throw new UsageException(option + ": expected at least 1, found " + number);
        });
    }
}
