package dev.adapt.formats.lors;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Stack;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * The ranks and groups of a model with static LORS: the layers of a {@link Target#stack() stack} share one weight, and each
 * has a residual of low rank of its own, {@code W_i = W_shared + Σ_k B_ik·A_ik} over its groups k = 1…K_i (Li et al., "LORS:
 * Low-rank Residual Structure for Parameter-Efficient Network Stacking", CVPR 2024, section 3.2). Nothing of it is frozen: it
 * is a way to build and train a model, not to adapt one.
 *
 * <p>The groups of a layer lie side by side, {@code B_i = [B_i1 … B_iK]} [out, r·K] and {@code A_i = [A_i1; …; A_iK]}
 * [r·K, in], whose product is their sum.
 *
 * <p>PEFT has no such method. Its folder is laid out as PEFT would: {@code peft_type} is {@code LORS}, with {@code r} and
 * {@code lors_groups}, each a number or a list of one for each layer of the model; the keys are {@code …STACK.lors_shared},
 * STACK being the module's name with a {@code *} in the place of the layer's number, and {@code …MODULE.lors_A} and
 * {@code …lors_B}. W_shared is stored as the model's checkpoints store a layer's weight: [in, out] for GPT-2's Conv1D.
 *
 * @param ranks r, by layer, or one for all
 * @param groups K, by layer, or one for all
 */
public record LorsLayout(List<Integer> ranks, List<Integer> groups) {
    /** Its {@code peft_type}, and its name in reports. */
    public static final String NAME = "LORS";

    /** The field of its config that no adapter has. */
    static final String GROUPS = "lors_groups";

    private static final String RANKS = "r";
    private static final String SHARED = ".lors_shared";
    private static final String LEFT = ".lors_B";
    private static final String RIGHT = ".lors_A";
    private static final int MOST_GROUPS = 1 << 12;

    public LorsLayout {
        ranks = List.copyOf(ranks);
        groups = List.copyOf(groups);
    }

    /**
     * The layout that a config describes.
     *
     * @throws dev.adapt.formats.FormatException if its ranks or groups are not positive integers
     */
    static LorsLayout of(AdapterConfig config) {
        return new LorsLayout(perLayer(config, RANKS, AdapterConfig.MOST_RANK), perLayer(config, GROUPS, MOST_GROUPS));
    }

    private static List<Integer> perLayer(AdapterConfig config, String field, int most) {
        JsonNode node = config.document().json().path(field);
        List<Integer> numbers = new ArrayList<>();
        for (JsonNode number : node.isArray() ? node : List.of(node)) {
            if (!number.isIntegralNumber() || !number.canConvertToInt() || number.intValue() < 1) {
                throw config.document().wrong(field, "a positive integer, or a list of one for each layer");
            }
            if (number.intValue() > most) {
                throw config.document().wrong(field, "numbers of at most " + most);
            }
            numbers.add(number.intValue());
        }
        return numbers;
    }

    /** Writes the config's fields of ranks and groups. */
    void describe(ObjectNode config) {
        put(config, RANKS, ranks);
        put(config, GROUPS, groups);
    }

    private static void put(ObjectNode config, String field, List<Integer> numbers) {
        if (numbers.size() == 1) {
            config.put(field, numbers.getFirst());
        } else {
            ArrayNode list = config.putArray(field);
            numbers.forEach(list::add);
        }
    }

    /**
     * Why it does not fit these layers, in words that follow its name; empty where it does.
     *
     * @param targets all layers that share weights
     */
    public Optional<String> misfit(List<Target> targets) {
        int layers = targets.stream().mapToInt(LorsLayout::layer).max().orElse(-1) + 1;
        return misfit("ranks", ranks, layers)
                .or(() -> misfit("groups", groups, layers))
                .or(() -> targets.stream()
                        .filter(target -> rank(target) > Math.min(target.out(), target.in()))
                        .findFirst()
                        .map(this::tooMuch))
                .or(() -> targets.stream()
                        .filter(Target::isParameter)
                        .findFirst()
                        .map(target -> "shares the weights of linear layers, and " + target.parameter()
                                + " is a stack of experts"));
    }

    private static Optional<String> misfit(String what, List<Integer> numbers, int layers) {
        return numbers.size() == 1 || numbers.size() == layers
                ? Optional.empty()
                : Optional.of("has " + what + " for " + numbers.size()
                        + " layers, expected one for all or one for each of the model's " + layers);
    }

    private String tooMuch(Target target) {
        return "has rank " + at(ranks, target) + " in " + at(groups, target) + " groups for " + target.module()
                + ", which is [" + target.out() + ", " + target.in() + "]: expected at most "
                + Math.min(target.out(), target.in()) + " in all";
    }

    private static int layer(Target target) {
        return Stack.number(target.module()).map(Integer::parseInt).orElse(0);
    }

    private static int at(List<Integer> numbers, Target target) {
        return numbers.size() == 1 ? numbers.getFirst() : numbers.get(layer(target));
    }

    /** The rank of one group of a layer. */
    int groupRank(Target target) {
        return at(ranks, target);
    }

    /** The rank of a layer's residual, r·K. */
    public int rank(Target target) {
        return at(ranks, target) * at(groups, target);
    }

    /** The key of W_shared. */
    static String sharedKey(Target target) {
        return Adapter.MODULE_PREFIX + target.stack().name() + SHARED;
    }

    /** The key of B [out, r·K]. */
    static String leftKey(Target target) {
        return Adapter.MODULE_PREFIX + target.module() + LEFT;
    }

    /** The key of A [r·K, in]. */
    static String rightKey(Target target) {
        return Adapter.MODULE_PREFIX + target.module() + RIGHT;
    }

    /** Whether a key is one of a stack's tensors. */
    static boolean isOfStack(String key) {
        return key.endsWith(SHARED) || key.endsWith(LEFT) || key.endsWith(RIGHT);
    }

    /** The shapes of all tensors of stacks by their keys: of each layer W_shared, if it is the first of its stack, A and B. */
    SequencedMap<String, Shape> shapes(List<Target> targets) {
        SequencedMap<String, Shape> shapes = new LinkedHashMap<>();
        for (Target target : targets) {
            shapes.putIfAbsent(sharedKey(target), target.storedShape());
            shapes.put(rightKey(target), Shape.of(rank(target), target.in()));
            shapes.put(leftKey(target), Shape.of(target.out(), rank(target)));
        }
        return shapes;
    }
}
