package dev.adapt.formats.method.transform;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * MiSS, which PEFT once called Bone: a block [r, out] that all runs of r inputs share, {@code ΔW[o, j] = block[j mod r, o]}
 * (Kang and Yin, arXiv 2409.15371). That is the product of blockᵀ and r rows of zeros and ones. Blocks start at 0.
 *
 * <p>Of the variant {@code mini} only the first {@code mini_r} columns of the block are stored, which repeat. {@code bat}
 * depends on the weight: each square {@code Wᵢⱼ [r, r]} becomes {@code Wᵢⱼ + Wᵢⱼ·blockᵢ + blockᵢ}, its blocks [out/r, r, r].
 *
 * @param ownRank r
 * @param mini columns that are stored, for the variant of that name
 * @param ownDropout on the input while training; {@code bat} has none
 */
public record Miss(int ownRank, Variant variant, int mini, double ownDropout) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "MISS",
            "miss",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8).dropout("miss_dropout"));

    private static final String BLOCK = "miss_block";
    private static final String MINI = "mini_r";
    private static final String INIT = "init_weights";

    /** Columns to which {@code bat} adds at a time. */
    private static final int ADDED_COLUMNS = 256;

    /** What {@code init_weights} says of the form of the change. */
    public enum Variant {
        BALANCED,
        MINI,
        BAT
    }

    private static Miss of(AdapterConfig config) {
        config.requireProbabilities("miss_dropout");
        JsonNode init = config.document().json().path(INIT);
        Variant variant = switch (init.asText()) {
            case "bat" -> Variant.BAT;
            case "mini" -> Variant.MINI;
            default -> Variant.BALANCED;
        };
        if (variant == Variant.BALANCED && config.document().has(INIT) && !init.isBoolean()) {
            throw config.document().wrong(INIT, "true, false, \"bat\" or \"mini\"");
        }
        int mini = config.document().integer(MINI, 1, 1, Integer.MAX_VALUE);
        return new Miss(
                config.rank(64),
                variant,
                variant == Variant.MINI ? mini : 1,
                variant == Variant.BAT ? 0 : config.document().number("miss_dropout", 0));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return variant == Variant.BAT ? "Bat" : "MiSS";
    }

    @Override
    public List<String> partNames() {
        return List.of(BLOCK);
    }

    @Override
    public Map<String, String> oldPartNames() {
        return Map.of("bone_block", BLOCK);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(INIT, MINI, "miss_dropout");
    }

    @Override
    public int rank(Target target) {
        return ownRank;
    }

    @Override
    public double dropout() {
        return ownDropout;
    }

    private boolean depends() {
        return variant == Variant.BAT;
    }

    @Override
    public boolean hasLowRankDelta() {
        return !depends();
    }

    @Override
    public boolean isAdditive() {
        return !depends();
    }

    @Override
    public Delta.Scope scope() {
        return depends() ? new Delta.Scope(ownRank, true) : Delta.Scope.ELEMENT;
    }

    @Override
    public Optional<String> undefined(Target target) {
        if (!(target.storage() instanceof Storage.Linear)) {
            return Optional.of("is no linear layer, and MiSS adapts those");
        }
        return switch (variant) {
            case BALANCED -> Optional.empty();
            case MINI ->
                target.out() % mini == 0
                        ? Optional.empty()
                        : Optional.of("has " + target.out() + " outputs, which are no multiple of " + mini
                                + ", the config's " + MINI);
            case BAT ->
                target.out() % ownRank == 0 && target.in() % ownRank == 0
                        ? Optional.empty()
                        : Optional.of("is " + target.shape() + ", and " + title() + " cuts it into squares of r = "
                                + ownRank);
        };
    }

    @Override
    public Optional<String> misfit(Target target) {
        return undefined(target).or(() -> target.unlessInputsTake(ownRank));
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        Shape shape = switch (variant) {
            case BALANCED -> Shape.of(ownRank, target.out());
            case MINI -> Shape.of(ownRank, mini);
            case BAT -> Shape.of(target.out() / ownRank, ownRank, ownRank);
        };
        return List.of(Part.trained(BLOCK, shape, new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T block = part.apply(BLOCK);
        if (depends()) {
            return WeightChange.of(
                    new Delta.Transform<>(scope(), (tile, w, region) -> squares(tile, w, block, region)));
        }
        T left = ops.transpose(block, 1, 0);
        T repeated = variant == Variant.MINI && mini < target.out()
                ? ops.concat(0, Collections.nCopies(target.out() / mini, left))
                : left;
        return WeightChange.of(new LowRank<>(repeated, runs(ops, target.in()), 1));
    }

    /** Row k has a 1 for each input j with {@code j mod r = k}. */
    private <T> T runs(MatrixOps<T> ops, int in) {
        float[] ones = new float[Math.multiplyExact(ownRank, in)];
        for (int j = 0; j < in; j++) {
            ones[j % ownRank * in + j] = 1;
        }
        return ops.constant(new FloatTensor(Shape.of(ownRank, in), ones));
    }

    /** The change of some rows of whole blocks. */
    private <T> T squares(MatrixOps<T> ops, T w, T blocks, Region region) {
        int first = region.row() / ownRank;
        int end = region.rowEnd() / ownRank;
        int across = region.columns() / ownRank;
        T own = ops.slice(blocks, 0, first, end);
        // rows of squares side by side are rows of a matrix that is one square wide
        T bySquare = ops.reshape(w, end - first, (long) ownRank * across, ownRank);
        T product = ops.matMul(bySquare, own);
        int copies = copies(across);
        T repeated = ops.concat(2, Collections.nCopies(copies, own));
        long[] wide = {end - first, ownRank, across / copies, (long) copies * ownRank};
        T added = ops.add(ops.reshape(product, wide), ops.reshape(repeated, wide[0], wide[1], 1, wide[3]));
        return ops.add(ops.reshape(added, region.rows(), region.columns()), w);
    }

    /** How many squares a block is repeated over before it is added: short rows would be added one by one. */
    private int copies(int across) {
        int copies = Math.clamp(ADDED_COLUMNS / ownRank, 1, across);
        while (across % copies != 0) {
            copies--;
        }
        return copies;
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put(MINI, mini);
        config.put("miss_dropout", ownDropout);
        switch (variant) {
            case BALANCED -> config.put(INIT, true);
            case MINI -> config.put(INIT, "mini");
            case BAT -> config.put(INIT, "bat");
        }
    }
}
