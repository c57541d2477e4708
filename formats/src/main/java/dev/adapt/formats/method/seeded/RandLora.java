package dev.adapt.formats.method.seeded;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.random.TorchRandom;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * RandLoRA: a sum of n frozen random products of rank r, as many as make full rank, of which each has its own trained scales,
 * {@code ΔW = s·Σᵢ Bᵢ·diag(λᵢ)·A·diag(γᵢ)} with {@code s = α/r} (Albert et al., arXiv 2502.00987, equation 4). A [r, 1, min] and
 * B [max, n, r] are shared by all layers and regenerated from a seed; λ [r, n] and γ [n, min] are trained. A is on the
 * narrower side of a layer. As PEFT has it, B's columns are in the order of (product, direction) and A's rows in that of
 * (direction, product).
 *
 * @param key PEFT's {@code projection_prng_key}
 * @param sparsity how much of A and B is 0
 * @param saveProjection whether the adapter's file holds A and B too
 * @param rounding how A and B were rounded where the adapter was trained
 */
public record RandLora(
        int ownRank,
        double alpha,
        long key,
        Sparsity sparsity,
        double dropout,
        boolean saveProjection,
        Rounding rounding)
        implements AdapterMethod {
    /** How much of the frozen matrices is 0. */
    public enum Sparsity {
        /** Nothing. */
        DENSE,
        /** Two thirds. */
        SPARSE,
        /** All but a share of 1/√min. */
        VERY_SPARSE
    }

    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "RANDLORA",
            "randlora",
            RandLora::of,
            MethodType.Training.at(1e-3)
                    .rank("r", 32)
                    .alpha("randlora_alpha", 20)
                    .dropout("randlora_dropout"));

    private static final String LAMBDA = "randlora_lambda";
    private static final String GAMMA = "randlora_gamma";
    private static final String A = "randlora_A";
    private static final String B = "randlora_B";
    private static final String SAVE = "save_projection";

    private static RandLora of(AdapterConfig config, Map<String, String> metadata) {
        Sparsity sparsity = config.document().says("sparse") ? Sparsity.SPARSE : Sparsity.DENSE;
        return new RandLora(
                config.rank(32),
                config.document().number("randlora_alpha", 640),
                config.document().whole("projection_prng_key").orElse(0L),
                config.document().says("very_sparse") ? Sparsity.VERY_SPARSE : sparsity,
                config.document().number("randlora_dropout", 0),
                config.document().flag(SAVE, true),
                Seeds.rounding(metadata));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "RandLoRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(LAMBDA, GAMMA, A, B);
    }

    @Override
    public Set<String> copies() {
        return Set.of(A, B);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                "init_weights",
                "projection_prng_key",
                "randlora_alpha",
                "randlora_dropout",
                SAVE,
                "sparse",
                "very_sparse");
    }

    /** All products side by side. */
    @Override
    public int rank(Target target) {
        return ownRank * products(least(target));
    }

    private int products(int least) {
        return Math.ceilDiv(least, ownRank);
    }

    private static int least(Target target) {
        return Math.min(target.in(), target.out());
    }

    /** The smaller of the largest width of inputs and the largest width of outputs; A's width. */
    private static int least(List<Target> all) {
        return Math.min(Seeds.in(all), Seeds.out(all));
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int n = products(least(target));
        Shape gamma = Shape.of(n, least(target));
        return List.of(
                Part.trained(LAMBDA, Shape.of(ownRank, n), new Initial.Constant(0)),
                Part.trained(GAMMA, gamma, new Initial.Constant(1f / Math.max(n, least(target)))),
                Part.regenerated(A, Shape.of(ownRank, 1, least(all)), saveProjection),
                Part.regenerated(
                        B,
                        Shape.of(Math.max(Seeds.in(all), Seeds.out(all)), products(least(all)), ownRank),
                        saveProjection));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int least = least(target);
        int most = Math.max(target.in(), target.out());
        int n = products(least);
        T a = ops.slice(part.apply(A), 2, 0, least);
        T scaled = ops.mul(ops.mul(ops.reshape(part.apply(LAMBDA), ownRank, n, 1), a), part.apply(GAMMA));
        T narrow = ops.reshape(scaled, (long) ownRank * n, least);
        T b = ops.slice(ops.slice(part.apply(B), 0, 0, most), 1, 0, n);
        T wide = ops.reshape(b, most, (long) n * ownRank);
        LowRank<T> product = least == target.in()
                ? new LowRank<>(wide, narrow, alpha / ownRank)
                : new LowRank<>(ops.transpose(narrow, 1, 0), ops.transpose(wide, 1, 0), alpha / ownRank);
        return WeightChange.of(product);
    }

    @Override
    public Optional<String> misfit(Target target) {
        return Seeds.misfit(ownRank, target);
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        ModuleNumbers.put(config, "randlora_alpha", alpha);
        config.put("projection_prng_key", key);
        config.put("sparse", sparsity == Sparsity.SPARSE);
        config.put("very_sparse", sparsity == Sparsity.VERY_SPARSE);
        config.put("randlora_dropout", dropout);
        config.put(SAVE, saveProjection);
        config.put("init_weights", true);
    }

    @Override
    public Map<String, Tensor> regenerate(List<Target> all) {
        RandomBases bases = new RandomBases(ownRank, least(all), Math.max(Seeds.in(all), Seeds.out(all)), rounding);
        TorchRandom random = new TorchRandom(key);
        return switch (sparsity) {
            case DENSE -> Map.of(A, bases.denseA(random), B, bases.denseB(random, products(least(all))));
            case SPARSE -> sparse(bases, random, 3, all);
            case VERY_SPARSE -> sparse(bases, random, Math.sqrt(least(all)), all);
        };
    }

    private Map<String, Tensor> sparse(RandomBases bases, TorchRandom random, double scarcity, List<Target> all) {
        FloatTensor a = bases.sparseA(random, scarcity);
        return Map.of(A, a, B, bases.sparseB(random, products(least(all)), scarcity));
    }

    @Override
    public Optional<String> storingField() {
        return Optional.of(SAVE);
    }

    @Override
    public List<Target> widest(Function<String, @Nullable Tensor> part) {
        return Seeds.widest(part.apply(A), part.apply(B));
    }

    @Override
    public List<AdapterMethod> otherRoundings() {
        return List.of(new RandLora(ownRank, alpha, key, sparsity, dropout, saveProjection, Seeds.other(rounding)));
    }

    @Override
    public Map<String, String> metadata() {
        return Seeds.metadata(rounding);
    }
}
