package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Activation;
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
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * DeLoRA: {@code ΔW = (λ/r)·B·diag(1/(‖aₖ‖·‖bₖ‖))·A·diag(w)}, aₖ the rows of A [r, in] and bₖ the columns of B [out, r]
 * (Bini, Girrbach and Akata, "Decoupling Angles and Strength in Low-rank Adaptation", arXiv 2503.18225, equation 6). A, B
 * and λ [1] are trained; w [in] are the norms of the columns of the base's weight. A starts Kaiming-uniform, B at 0.
 *
 * @param lambda where λ starts
 */
public record Delora(ModuleNumbers rank, ModuleNumbers lambda) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "DELORA",
            "delora",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8));

    private static final String A = "delora_A";
    private static final String B = "delora_B";
    private static final String LAMBDA = "delora_lambda";
    private static final String NORMS = "delora_w_norm";

    /** PEFT divides by no norm that is smaller. */
    private static final double LEAST_NORM = 1e-4;

    private static Delora of(AdapterConfig config) {
        config.requireProbabilities("module_dropout");
        return new Delora(
                ModuleNumbers.ranks(config, 8, "rank_pattern"), ModuleNumbers.of(config, LAMBDA, 15, "lambda_pattern"));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "DeLoRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(A, B, LAMBDA, NORMS);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(LAMBDA, "init_weights", "lambda_pattern", "module_dropout", "rank_pattern");
    }

    @Override
    public int rank(Target target) {
        return (int) rank.of(target.module());
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r = rank(target);
        float start = (float) lambda.of(target.module());
        return List.of(
                Part.trained(A, Shape.of(r, target.in()), new Initial.KaimingUniform(target.in())),
                Part.trained(B, Shape.of(target.out(), r), new Initial.Constant(0)),
                Part.trained(LAMBDA, Shape.of(1), new Initial.Constant(start)),
                Part.frozen(NORMS, Shape.of(target.in()), new Initial.ColumnNorms()));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T a = part.apply(A);
        T b = part.apply(B);
        T norms = ops.mul(ops.reshape(norm(ops, a, 1), -1), ops.reshape(norm(ops, b, 0), -1));
        T inner = ops.div(ops.affine(part.apply(LAMBDA), 1.0 / rank(target), 0), norms);
        T right = ops.mul(a, part.apply(NORMS));
        return WeightChange.of(new LowRank<>(b, right, Optional.empty(), Optional.of(inner), 1));
    }

    /** Norms along an axis, cut below before the root: a column of 0 then has the gradient 0 and not NaN. */
    private static <T> T norm(MatrixOps<T> ops, T x, int axis) {
        double least = LEAST_NORM * LEAST_NORM;
        T squares = ops.sum(ops.mul(x, x), axis);
        return ops.sqrt(ops.affine(ops.activation(ops.affine(squares, 1, -least), Activation.RELU), 1, least));
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        return AdapterMethod.productShape(part.apply(B), part.apply(A));
    }

    @Override
    public void describe(ObjectNode config) {
        rank.describe(config, "r", "rank_pattern");
        lambda.describe(config, LAMBDA, "lambda_pattern");
        config.put("init_weights", true);
        config.put("module_dropout", 0.0);
    }
}
