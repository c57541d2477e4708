package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.random.Permutation;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * SHiRA: ΔW is sparse, with {@code r·(in + out)} values at places of a random mask (Bhardwaj et al., "Sparse High Rank
 * Adapters", arXiv 2406.13175, section 3). The values are trained and start at 0; the places [2, n] are stored.
 *
 * @param seed of the mask; without it, of a mask that PEFT drew from no seed, the places are drawn from 0
 * @param mask what PEFT calls the mask; only the random one can be drawn
 */
public record Shira(int rank, Optional<Long> seed, String mask) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "SHIRA",
            "shira",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8));

    private static final String VALUES = "shira_weight";
    private static final String PLACES = "shira_indices";
    private static final String SEED = "random_seed";
    private static final String MASK = "mask_type";

    private static Shira of(AdapterConfig config) {
        return new Shira(
                config.rank(32),
                config.document().whole(SEED),
                config.document().string(MASK).orElse("random"));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "SHiRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(VALUES, PLACES);
    }

    @Override
    public Set<String> configFields() {
        return Set.of("init_weights", MASK, SEED);
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean isInteger(String part) {
        return part.equals(PLACES);
    }

    @Override
    public List<Integer> integerLimits(String part, Target target) {
        return isInteger(part) ? List.of(target.out(), target.in()) : List.of();
    }

    private long count(Target target) {
        return rank * ((long) target.in() + target.out());
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.unlessLinear(title()).or(() -> tooSmall(target));
    }

    private Optional<String> tooSmall(Target target) {
        return count(target) <= (long) target.out() * target.in()
                ? Optional.empty()
                : Optional.of("is " + target.shape() + ", which has fewer than r·(in + out) = " + count(target)
                        + " elements; give a smaller r");
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return List.of(
                Part.trained(VALUES, Shape.of(count(target)), new Initial.Constant(0)),
                Part.frozen(PLACES, Shape.of(2, count(target)), new Initial.Derived((part, weight) -> places(target))));
    }

    /** The places of PEFT's random mask, row by row. */
    private FloatTensor places(Target target) {
        int count = Math.toIntExact(count(target));
        long[] drawn = Permutation.first(count, (long) target.out() * target.in(), seed.orElse(0L));
        Arrays.sort(drawn);
        float[] places = new float[2 * count];
        for (int i = 0; i < count; i++) {
            long row = drawn[i] / target.in();
            places[i] = row;
            places[count + i] = drawn[i] % target.in();
        }
        return new FloatTensor(Shape.of(2, count), places);
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T values = part.apply(VALUES);
        T places = part.apply(PLACES);
        return WeightChange.of(new Delta.Dense<>((tile, region) -> tile.scatter(values, places, region)));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        config.put(MASK, mask);
        seed.ifPresentOrElse(own -> config.put(SEED, own), () -> config.putNull(SEED));
        config.put("init_weights", true);
    }
}
