package dev.adapt.formats.method.transform;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.Delta;
import dev.adapt.formats.graph.MatrixOps;
import dev.adapt.formats.graph.Region;
import dev.adapt.formats.graph.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * RoAd: {@code W' = R·W} and {@code b' = R·b}, where R turns and scales pairs of outputs (Liao and Monz, arXiv 2409.00119,
 * equation 4). In each group the first half of the outputs pairs with the second, {@code y₁' = a₁·cos θ₁·y₁ - c₁·sin φ₁·y₂}
 * and {@code y₂' = a₂·cos θ₂·y₂ + c₂·sin φ₂·y₁}. Angles start at 0 and scales at 1.
 *
 * @param variant how many of the four are a pair's own
 * @param group outputs of a group
 */
public record Road(Variant variant, int group) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("ROAD", "road", (config, metadata) -> of(config), MethodType.Training.at(3e-3));

    private static final String THETA = "road_theta";
    private static final String ALPHA = "road_alpha";
    private static final String VARIANT = "variant";
    private static final String GROUP = "group_size";

    /** The parameters of a pair. */
    public enum Variant {
        /** One angle and one scale for both outputs. */
        ROAD_1,
        /** An angle and a scale for each output. */
        ROAD_2,
        /** Two angles and two scales for each output. */
        ROAD_4;

        /** PEFT's name. */
        String peftName() {
            return "road_" + name().charAt(name().length() - 1);
        }

        private int size(int out) {
            return switch (this) {
                case ROAD_1 -> out / 2;
                case ROAD_2 -> out;
                case ROAD_4 -> 2 * out;
            };
        }
    }

    private static Road of(AdapterConfig config) {
        String named = config.document().has(VARIANT)
                ? config.document().string(VARIANT).orElse("")
                : Variant.ROAD_1.peftName();
        Variant variant = List.of(Variant.values()).stream()
                .filter(each -> each.peftName().equals(named))
                .findFirst()
                .orElseThrow(() -> config.document().wrong(VARIANT, "\"road_1\", \"road_2\" or \"road_4\""));
        int group = config.document().integer(GROUP, 64, 2, AdapterConfig.MOST_RANK);
        if (group % 2 != 0) {
            throw config.document().wrong(GROUP, "an even number");
        }
        return new Road(variant, group);
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "RoAd";
    }

    @Override
    public List<String> partNames() {
        return List.of(THETA, ALPHA);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(VARIANT, GROUP, "init_weights");
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    /** The groups of outputs that are turned together. */
    @Override
    public Delta.Scope scope() {
        return new Delta.Scope(group, false);
    }

    @Override
    public boolean changesBias() {
        return true;
    }

    @Override
    public Optional<String> undefined(Target target) {
        if (!(target.storage() instanceof Storage.Linear)) {
            return Optional.of("is no linear layer, and RoAd turns the outputs of those");
        }
        return target.out() % group == 0
                ? Optional.empty()
                : Optional.of("has " + target.out() + " outputs, which are no multiple of " + group + ", the config's "
                        + GROUP);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        Shape shape = Shape.of(variant.size(target.out()));
        return List.of(
                Part.trained(THETA, shape, new Initial.Constant(0)),
                Part.trained(ALPHA, shape, new Initial.Constant(1)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T theta = part.apply(THETA);
        T alpha = part.apply(ALPHA);
        T own = ops.mul(angles(ops, alpha, 0), ops.cos(angles(ops, theta, 0)));
        T others = ops.mul(angles(ops, alpha, 1), ops.sin(angles(ops, theta, 1)));
        return WeightChange.of(
                        new Delta.Transform<T>(scope(), (tile, w, region) -> turned(tile, w, own, others, region)))
                .with(new WeightChange.BiasChange<>(
                        old -> ops.reshape(
                                turned(ops, old.orElseThrow(), own, others, Region.of(target.out(), 1)), target.out()),
                        false));
    }

    /**
     * A vector's values as [groups, 2 or 1, group/2, 1].
     *
     * @param which those of the first factor or of the second, where they differ
     */
    private <T> T angles(MatrixOps<T> ops, T vector, int which) {
        int half = group / 2;
        return switch (variant) {
            case ROAD_1 -> ops.reshape(vector, -1, 1, half, 1);
            case ROAD_2 -> ops.reshape(vector, -1, 2, half, 1);
            case ROAD_4 ->
                ops.reshape(ops.slice(ops.reshape(vector, -1, 2, group), 1, which, which + 1L), -1, 2, half, 1);
        };
    }

    /** {@code R·y} in a region of y [out, width] that holds whole groups. */
    private <T> T turned(MatrixOps<T> ops, T y, T own, T others, Region region) {
        int from = region.row() / group;
        int to = region.rowEnd() / group;
        T pairs = ops.reshape(y, to - from, 2, group / 2, region.columns());
        T first = ops.slice(pairs, 1, 0, 1);
        T second = ops.slice(pairs, 1, 1, 2);
        T exchanged = ops.concat(1, List.of(ops.affine(second, -1, 0), first));
        T sum = ops.add(
                ops.mul(pairs, ops.slice(own, 0, from, to)), ops.mul(exchanged, ops.slice(others, 0, from, to)));
        return ops.reshape(sum, region.rows(), region.columns());
    }

    @Override
    public void describe(ObjectNode config) {
        config.put(VARIANT, variant.peftName());
        config.put(GROUP, group);
        config.put("init_weights", true);
    }
}
