package dev.adapt.formats.method.lowrank;

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
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * GraLoRA: W is cut into k × k blocks, and the block of outputs i and inputs j changes by a product of rank r/k of its own,
 * {@code ΔW[i, j] = s·Bᵢ[slice j]ᵀ·Aⱼ[:, slice i]ᵀ} (Jung et al., arXiv 2505.20355, equation 6), with {@code s = α/(r + h)}.
 * A [k, in/k, r] and B [k, r, out/k] are trained. With {@code hybrid_r} h, LoRA of rank h is added to the whole.
 *
 * @param blocks k
 * @param hybridRank h
 */
public record GraLora(int ownRank, int blocks, int hybridRank, double alpha, double dropout) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "GRALORA",
            "gralora",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 32).alpha("alpha", 2).dropout("gralora_dropout"));

    private static final String A = "gralora_A";
    private static final String B = "gralora_B";
    private static final String HYBRID_A = "gralora_A_general.weight";
    private static final String HYBRID_B = "gralora_B_general.weight";

    private static GraLora of(AdapterConfig config) {
        return new GraLora(
                config.rank(32),
                config.document().positive("gralora_k", AdapterConfig.MOST_RANK, 2),
                config.document().integer("hybrid_r", 0, 0, AdapterConfig.MOST_RANK),
                config.document().number("alpha", 64),
                config.document().number("gralora_dropout", 0));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "GraLoRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(A, B, HYBRID_A, HYBRID_B);
    }

    @Override
    public Set<String> configFields() {
        return Set.of("alpha", "gralora_dropout", "gralora_k", "hybrid_r", "init_weights");
    }

    /** All blocks' products side by side. */
    @Override
    public int rank(Target target) {
        return blocks * ownRank + hybridRank;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int in = target.in() / blocks;
        int out = target.out() / blocks;
        List<Part> parts = new ArrayList<>(List.of(
                Part.trained(A, Shape.of(blocks, in, ownRank), new Initial.KaimingUniform(in)),
                Part.trained(B, Shape.of(blocks, ownRank, out), new Initial.Constant(0))));
        if (hybridRank > 0) {
            parts.add(
                    Part.trained(HYBRID_A, Shape.of(hybridRank, target.in()), new Initial.KaimingUniform(target.in())));
            parts.add(Part.trained(HYBRID_B, Shape.of(target.out(), hybridRank), new Initial.Constant(0)));
        }
        return parts;
    }

    /**
     * The inner index of the one product is (j, i, s): block of inputs, block of outputs, direction. Row (j, ·) of the right
     * factor is Aⱼᵀ in the columns of block j, column (·, i, s) of the left one is B's row (j, s) in the rows of block i.
     */
    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int in = target.in() / blocks;
        int out = target.out() / blocks;
        T right = ops.blockDiagonal(ops.transpose(part.apply(A), 0, 2, 1), blocks, ownRank, in);
        T byOutputs = ops.blockDiagonal(ops.transpose(part.apply(B), 0, 2, 1), blocks, out, ownRank);
        T left = ops.reshape(
                ops.transpose(ops.reshape(byOutputs, target.out(), blocks, blocks, ownRank / blocks), 0, 2, 1, 3),
                target.out(),
                (long) blocks * ownRank);
        if (hybridRank > 0) {
            left = ops.concat(1, List.of(left, part.apply(HYBRID_B)));
            right = ops.concat(0, List.of(right, part.apply(HYBRID_A)));
        }
        return WeightChange.of(new LowRank<>(left, right, alpha / (ownRank + hybridRank)));
    }

    @Override
    public Optional<String> misfit(Target target) {
        return undefined(target);
    }

    @Override
    public Optional<String> undefined(Target target) {
        String layer = "is " + target.shape();
        if (target.in() % blocks != 0 || target.out() % blocks != 0) {
            return Optional.of(layer + ", which gralora_k " + blocks + " does not divide");
        }
        return ownRank % blocks == 0
                ? Optional.empty()
                : Optional.of(layer + " in " + blocks + " × " + blocks + " blocks, among which r " + ownRank
                        + " cannot be divided");
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        Tensor a = part.apply(A);
        Tensor b = part.apply(B);
        return a == null || b == null || a.shape().rank() != 3 || b.shape().rank() != 3
                ? Optional.empty()
                : Optional.of(Shape.of(
                        b.shape().dim(0) * b.shape().dim(2),
                        a.shape().dim(0) * a.shape().dim(1)));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put("gralora_k", blocks);
        config.put("hybrid_r", hybridRank);
        ModuleNumbers.put(config, "alpha", alpha);
        config.put("gralora_dropout", dropout);
        config.put("init_weights", true);
    }
}
