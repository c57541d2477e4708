package dev.adapt.formats.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.graph.MatrixOps;
import dev.adapt.formats.graph.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Stack;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * LORS, its static form: the layers of a {@link Target#stack() stack} share one weight, and each has a residual of low rank
 * of its own, {@code W_i = W_shared + Σ_k B_ik·A_ik} over its groups k = 1…K_i (Li et al., "LORS: Low-rank Residual
 * Structure for Parameter-Efficient Network Stacking", CVPR 2024, section 3.2). Nothing of it is frozen: it is a way to
 * build and train a model, not to adapt one, and an adapter of it holds every tensor of its model.
 *
 * <p>The groups of a layer lie side by side, {@code B_i = [B_i1 … B_iK]} [out, r·K] and {@code A_i = [A_i1; …; A_iK]}
 * [r·K, in], whose product is their sum. W_shared and B start Kaiming-uniform, as torch's linear layers do (each B_ik has
 * its r columns for inputs), A at 0: at first all layers of a stack are one.
 *
 * <p>PEFT has no such method. Its folder is laid out as PEFT would: {@code peft_type} is {@code LORS}, with {@code r} and
 * {@code lors_groups}, each a number or a list of one for each layer of the model; the keys are {@code …STACK.lors_shared},
 * STACK being the module's name with a {@code *} in the place of the layer's number, and {@code …MODULE.lors_A} and
 * {@code …lors_B}. W_shared is stored as the model's checkpoints store a layer's weight: [in, out] for GPT-2's Conv1D.
 *
 * @param ranks r, by layer, or one for all
 * @param groups K, by layer, or one for all
 */
public record Lors(List<Integer> ranks, List<Integer> groups) implements AdapterMethod {
    /** Its {@code peft_type}. */
    public static final String PEFT_TYPE = "LORS";

    private static final String SHARED = "lors_shared";
    private static final String A = "lors_A";
    private static final String B = "lors_B";
    private static final String RANKS = "r";
    private static final String GROUPS = "lors_groups";
    private static final int MOST_GROUPS = 1 << 12;
    private static final Set<String> FIELDS = Set.of(GROUPS);

    public Lors {
        ranks = List.copyOf(ranks);
        groups = List.copyOf(groups);
    }

    /** One rank and one group for all layers. */
    public Lors(int rank) {
        this(List.of(rank), List.of(1));
    }

    /** A model without stacks: all of its weights are its own. */
    public static Lors plain() {
        return new Lors(List.of(), List.of());
    }

    static Lors of(AdapterConfig config) {
        return new Lors(perLayer(config, RANKS, AdapterConfig.MOST_RANK), perLayer(config, GROUPS, MOST_GROUPS));
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

    /**
     * What keeps it from these layers, in words that follow its name; empty where nothing does.
     *
     * @param targets all that it is to stack
     */
    public Optional<String> misfit(List<Target> targets) {
        int layers = targets.stream().mapToInt(Lors::layer).max().orElse(-1) + 1;
        return misfit("ranks", ranks, layers)
                .or(() -> misfit("groups", groups, layers))
                .or(() -> targets.stream()
                        .filter(target -> rank(target) > Math.min(target.out(), target.in()))
                        .findFirst()
                        .map(this::tooMuch));
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

    @Override
    public String peftType() {
        return PEFT_TYPE;
    }

    @Override
    public List<String> partNames() {
        return List.of(SHARED, A, B);
    }

    @Override
    public Optional<String> weightPart() {
        return Optional.of(SHARED);
    }

    @Override
    public Set<String> configFields() {
        return FIELDS;
    }

    /** r·K, over all groups of the layer. */
    @Override
    public int rank(Target target) {
        return at(ranks, target) * at(groups, target);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int width = rank(target);
        return List.of(
                Part.ofStack(SHARED, target.storedShape(), new Initial.KaimingUniform(target.in())),
                Part.trained(A, Shape.of(width, target.in()), new Initial.Constant(0)),
                Part.trained(B, Shape.of(target.out(), width), new Initial.KaimingUniform(at(ranks, target))));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        return WeightChange.of(new LowRank<>(part.apply(B), part.apply(A), 1));
    }

    /**
     * The tensors of a stack by the keys of the adapter's file.
     *
     * @param shared W_shared, as the model stores a layer's weight
     * @param factors B_i and A_i of each layer
     */
    public SequencedMap<String, Tensor> tensors(
            List<Target> layers, FloatTensor shared, List<BoundAdapter.Factors> factors) {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        for (int i = 0; i < layers.size(); i++) {
            for (Part part : parts(layers.get(i), layers)) {
                FloatTensor tensor = switch (part.name()) {
                    case A -> factors.get(i).right();
                    case B -> factors.get(i).left();
                    default -> shared;
                };
                if (!tensor.shape().equals(part.shape())) {
                    throw new IllegalArgumentException(
                            layers.get(i).module() + ": " + tensor.shape() + " in place of " + part.shape());
                }
                tensors.put(BoundAdapter.key(part, layers.get(i)), tensor);
            }
        }
        return tensors;
    }

    @Override
    public void describe(ObjectNode config) {
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
}
