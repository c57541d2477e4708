package dev.adapt.formats.method.seeded;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.random.TorchRandom;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * TinyLoRA: {@code ΔW = B·R·A} with {@code R = Σᵢ vᵢ·Pᵢ} (Morris et al., arXiv 2602.04118): only v [u] is trained, one for each
 * group of layers. B = U·√Σ [out, r] and A = √Σ·Vᵀ [r, in] are the frozen weight's first singular vectors and are stored; P
 * [u, r, r] is normal with variance 1/r and regenerated from the seed plus the layer's number.
 *
 * @param ownRank r, at most the layer's narrower width
 * @param vectors u
 * @param tying the share of layers that have no v of their own
 * @param savesProjection whether the adapter's file holds P too
 * @param rounding how P was rounded where the adapter was trained
 */
public record TinyLora(
        int ownRank, int vectors, double tying, long seed, double dropout, boolean savesProjection, Rounding rounding)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "TINYLORA",
            "tinylora",
            TinyLora::of,
            MethodType.Training.at(1e-2).rank("r", 2).dropout("tinylora_dropout"));

    private static final String A = "tinylora_A";
    private static final String B = "tinylora_B";
    private static final String P = "tinylora_P";
    private static final String V = "tinylora_v";
    private static final String SAVE = "save_projection";

    private static TinyLora of(AdapterConfig config, Map<String, String> metadata) {
        config.requireProbabilities("weight_tying");
        return new TinyLora(
                config.rank(2),
                config.document().positive("u", 1 << 24, 64),
                config.document().number("weight_tying", 0),
                config.document().whole("projection_seed").orElse(42L),
                config.document().number("tinylora_dropout", 0),
                config.document().flag(SAVE, true),
                Seeds.rounding(metadata));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "TinyLoRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(A, B, P);
    }

    @Override
    public Set<String> configFields() {
        return Set.of("init_v_bound", "init_weights", "projection_seed", SAVE, "tinylora_dropout", "u", "weight_tying");
    }

    @Override
    public boolean numbersLayers() {
        return true;
    }

    @Override
    public int rank(Target target) {
        return Math.min(ownRank, Math.min(target.in(), target.out()));
    }

    /** The group of a layer: neighbours share their v. */
    private int group(Target target, List<Target> all) {
        // PEFT rounds half to even
        int groups = Math.max(1, (int) Math.rint(all.size() * (1 - tying)));
        int size = Math.max(1, all.size() / groups);
        return Math.min(Math.max(0, all.indexOf(target)) / size, groups - 1);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r = rank(target);
        return List.of(
                Part.frozen(A, Shape.of(r, target.in()), new Initial.Singular(false, 0.5)),
                Part.frozen(B, Shape.of(target.out(), r), new Initial.Singular(true, 0.5)),
                new Part(
                        P,
                        Shape.of(vectors, r, r),
                        new Initial.Regenerated(),
                        Part.Scope.LAYER,
                        false,
                        savesProjection),
                new Part(
                        V,
                        Optional.of(Integer.toString(group(target, all))),
                        Shape.of(vectors),
                        new Initial.Constant(0),
                        Part.Scope.ALL,
                        true,
                        true));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int r = rank(target);
        T projections = ops.reshape(part.apply(P), vectors, (long) r * r);
        T mixed = ops.matMul(ops.reshape(part.apply(V), 1, vectors), projections);
        return WeightChange.of(new LowRank<>(ops.matMul(part.apply(B), ops.reshape(mixed, r, r)), part.apply(A), 1));
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        return AdapterMethod.productShape(part.apply(B), part.apply(A));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put("u", vectors);
        config.put("weight_tying", tying);
        config.put("projection_seed", seed);
        config.put(SAVE, savesProjection);
        config.put("tinylora_dropout", dropout);
        config.put("init_v_bound", 0.02);
        config.put("init_weights", true);
    }

    @Override
    public Map<String, Tensor> regenerate(List<Target> all) {
        Map<String, Tensor> projections = new LinkedHashMap<>();
        for (int i = 0; i < all.size(); i++) {
            int r = rank(all.get(i));
            float[] drawn = new TorchRandom(seed + i).normal(vectors * r * r, 1 / Math.sqrt(r), rounding);
            projections.put(all.get(i).module() + "." + P, new FloatTensor(Shape.of(vectors, r, r), drawn));
        }
        return projections;
    }

    @Override
    public Optional<String> storingField() {
        return Optional.of(SAVE);
    }

    @Override
    public List<AdapterMethod> otherRoundings() {
        return List.of(new TinyLora(ownRank, vectors, tying, seed, dropout, savesProjection, Seeds.other(rounding)));
    }

    @Override
    public Map<String, String> metadata() {
        return Seeds.metadata(rounding);
    }
}
