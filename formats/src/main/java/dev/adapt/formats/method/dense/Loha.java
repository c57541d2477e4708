package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * LoHa: {@code ΔW = s·(A₁·B₁) ⊙ (A₂·B₂)}, A₁ and A₂ [out, r], B₁ and B₂ [r, in], all trained (Hyeon-Woo, Ye-Bin and Oh,
 * "FedPara", arXiv 2108.06098, proposition 1), with {@code s = α/r}. With {@code use_khatri_rao} it is ABBA's, {@code s =
 * α²/√(r·r₂)} (arXiv 2505.14238). B₂ starts at 0, the others Kaiming-uniform.
 *
 * <p>With {@code use_effective_conv2d} the factors of a convolution are of Tucker form (proposition 3): each product is
 * {@code Σ T[i, j, …]·A[i, out]·B[j, in]}.
 *
 * @param secondRank r₂, where it differs from r
 * @param tucker whether convolutions have the Tucker form
 * @param khatriRao whether the scale is ABBA's
 */
public record Loha(
        ModuleNumbers rank, ModuleNumbers alpha, Optional<Integer> secondRank, boolean tucker, boolean khatriRao)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "LOHA",
            "loha",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8).alpha("alpha", 1));

    private static final String A1 = "hada_w1_a";
    private static final String B1 = "hada_w1_b";
    private static final String A2 = "hada_w2_a";
    private static final String B2 = "hada_w2_b";
    private static final String T1 = "hada_t1";
    private static final String T2 = "hada_t2";
    private static final String KHATRI_RAO = "use_khatri_rao";

    private static Loha of(AdapterConfig config) {
        config.requireProbabilities("rank_dropout", "module_dropout");
        // versions of PEFT without this field know no ABBA: whatever init_weights says, they scale by α/r
        boolean auto =
                config.document().string(KHATRI_RAO).filter("auto"::equals).isPresent();
        boolean abba = config.document()
                .string("init_weights")
                .filter("abba"::equalsIgnoreCase)
                .isPresent();
        return new Loha(
                ModuleNumbers.ranks(config, 8, "rank_pattern"),
                ModuleNumbers.of(config, "alpha", 8, "alpha_pattern"),
                config.document().has("r2") ? Optional.of(config.document().positive("r2")) : Optional.empty(),
                config.document().says("use_effective_conv2d"),
                auto ? abba : config.document().flag(KHATRI_RAO, false));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "LoHa";
    }

    @Override
    public List<String> partNames() {
        return List.of(A1, B1, A2, B2, T1, T2);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                "alpha",
                "alpha_pattern",
                "init_weights",
                "module_dropout",
                "r2",
                "rank_dropout",
                "rank_pattern",
                "use_effective_conv2d",
                KHATRI_RAO);
    }

    @Override
    public int rank(Target target) {
        return (int) rank.of(target.module());
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    private boolean isTucker(Target target) {
        return tucker && target.storage() instanceof Storage.Kernel kernel && kernel.size() > 1;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r1 = rank(target);
        int r2 = secondRank.orElse(r1);
        if (isTucker(target) && target.storage() instanceof Storage.Kernel kernel) {
            int in = target.in() / kernel.size();
            return List.of(
                    Part.trained(T1, kernel.core(r1), new Initial.KaimingUniform(r1 * kernel.size())),
                    Part.trained(A1, Shape.of(r1, target.out()), new Initial.KaimingUniform(target.out())),
                    Part.trained(B1, Shape.of(r1, in), new Initial.KaimingUniform(in)),
                    Part.trained(T2, kernel.core(r2), new Initial.KaimingUniform(r2 * kernel.size())),
                    Part.trained(A2, Shape.of(r2, target.out()), new Initial.KaimingUniform(target.out())),
                    Part.trained(B2, Shape.of(r2, in), new Initial.Constant(0)));
        }
        return List.of(
                Part.trained(A1, Shape.of(target.out(), r1), new Initial.KaimingUniform(r1)),
                Part.trained(B1, Shape.of(r1, target.in()), new Initial.KaimingUniform(target.in())),
                Part.trained(A2, Shape.of(target.out(), r2), new Initial.KaimingUniform(r2)),
                Part.trained(B2, Shape.of(r2, target.in()), new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        Product<T> one = product(ops, target, part, A1, B1, T1);
        Product<T> other = product(ops, target, part, A2, B2, T2);
        Product<T> scaled = new Product<>(ops.affine(one.left(), scale(target), 0), one.right());
        return WeightChange.of(
                new Delta.Dense<>((tile, region) -> tile.mul(scaled.of(tile, region), other.of(tile, region))));
    }

    /** One of the two products, left [out, r] times right [r, in]. */
    private record Product<T>(T left, T right) {
        T of(MatrixOps<T> ops, Region region) {
            return ops.matMul(
                    ops.slice(left, 0, region.row(), region.rowEnd()),
                    ops.slice(right, 1, region.column(), region.columnEnd()));
        }
    }

    private <T> Product<T> product(
            MatrixOps<T> ops, Target target, Function<String, T> part, String a, String b, String t) {
        if (!isTucker(target) || !(target.storage() instanceof Storage.Kernel kernel)) {
            return new Product<>(part.apply(a), part.apply(b));
        }
        T right = kernel.contract(ops, part.apply(t), part.apply(b));
        return new Product<>(ops.transpose(part.apply(a), 1, 0), right);
    }

    private double scale(Target target) {
        int r = rank(target);
        double own = alpha.of(target.module());
        return khatriRao && !isTucker(target) ? own * own / Math.sqrt((double) r * secondRank.orElse(r)) : own / r;
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        Tensor a = part.apply(A1);
        Tensor b = part.apply(B1);
        return a == null || b == null || part.apply(T1) != null
                ? Optional.empty()
                : Optional.of(Shape.of(a.shape().dim(0), b.shape().dim(1)));
    }

    @Override
    public void describe(ObjectNode config) {
        rank.describe(config, "r", "rank_pattern");
        alpha.describe(config, "alpha", "alpha_pattern");
        secondRank.ifPresent(own -> config.put("r2", own));
        config.put("init_weights", true);
        config.put("module_dropout", 0.0);
        config.put("rank_dropout", 0.0);
        config.put("use_effective_conv2d", tucker);
        if (khatriRao) {
            config.put(KHATRI_RAO, true);
        }
    }
}
