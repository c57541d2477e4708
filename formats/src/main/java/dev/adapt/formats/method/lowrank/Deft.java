package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
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
 * DEFT: {@code ΔW = Q·(s·R - Nᵀ·W)} takes a subspace of the outputs away and puts {@code s·Q·R} in its place ("DEFT:
 * Decompositional Efficient Fine-Tuning", as PEFT applies it). P [out, r] and R [r, in] are trained; {@code Q = P} and {@code
 * N = relu(P)}, or both are the Q of P's QR decomposition. P starts normal, R so that ΔW is 0. PaRa (arXiv 2412.04956)
 * takes away alone: {@code s·R = 0}.
 *
 * @param alpha {@code s = α/r}, 1 without it
 * @param orthogonal whether Q is of the QR decomposition
 * @param para whether it is PaRa
 */
public record Deft(int rank, Optional<Double> alpha, boolean orthogonal, boolean para, double dropout)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "DEFT",
            "deft",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8));

    private static final String P = "deft_P";
    private static final String R = "deft_R";
    private static final String DECOMPOSITION = "decomposition_method";

    private static Deft of(AdapterConfig config) {
        config.requireProbabilities("deft_dropout");
        String decomposition = config.document().string(DECOMPOSITION).orElse("relu");
        if (!List.of("relu", "qr").contains(decomposition)) {
            throw config.document().wrong(DECOMPOSITION, "relu or qr");
        }
        double alpha = config.document().number("alpha", 0);
        return new Deft(
                config.rank(8),
                alpha == 0 ? Optional.empty() : Optional.of(alpha),
                decomposition.equals("qr"),
                config.document().flag("para", false),
                config.document().number("deft_dropout", 0));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return para ? "PaRa" : "DEFT";
    }

    @Override
    public List<String> partNames() {
        return List.of(P, R);
    }

    @Override
    public Set<String> configFields() {
        return Set.of("alpha", DECOMPOSITION, "deft_dropout", "init_scale", "init_weights", "para");
    }

    @Override
    public int rank(Target target) {
        return Math.min(rank, target.out());
    }

    @Override
    public Optional<String> misfit(Target target) {
        return undefined(target);
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.unlessLinear(title());
    }

    private double scale(Target target) {
        return alpha.map(own -> own / rank(target)).orElse(1.0);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r = rank(target);
        Part direction = Part.trained(P, Shape.of(target.out(), r), new Initial.Normal(0.02));
        return para
                ? List.of(direction)
                : List.of(
                        direction,
                        Part.trained(
                                R,
                                Shape.of(r, target.in()),
                                new Initial.Derived((part, weight) -> start(target, part.apply(P), weight))));
    }

    /** The R of which ΔW is 0. */
    private FloatTensor start(Target target, FloatTensor p, FloatTensor weight) {
        ReferenceOps ops = new ReferenceOps();
        DoubleTensor removed = removed(ops, pair(ops, target, DoubleTensor.of(p)), DoubleTensor.of(weight));
        DoubleTensor start = ops.affine(removed, 1 / scale(target), 0);
        return new FloatTensor(start.shape(), start.toFloats());
    }

    /** Q and N. */
    private record Pair<T>(T q, T n) {}

    private <T> Pair<T> pair(MatrixOps<T> ops, Target target, T p) {
        if (!orthogonal) {
            return new Pair<>(p, ops.activation(p, Activation.RELU));
        }
        T q = orthogonal(ops, p, target.out(), rank(target));
        return new Pair<>(q, q);
    }

    /** {@code Nᵀ·W}. */
    private static <T> T removed(MatrixOps<T> ops, Pair<T> pair, T weight) {
        return ops.matMul(ops.transpose(pair.n(), 1, 0), weight);
    }

    /**
     * The Q [rows, columns] of a QR decomposition by Householder's reflections, with LAPACK's signs: each reflection makes
     * the leading element's sign the opposite, {@code v = x + sign(x₁)·‖x‖·e₁}.
     */
    private static <T> T orthogonal(MatrixOps<T> ops, T matrix, int rows, int columns) {
        List<T> normals = new ArrayList<>();
        T rest = matrix;
        for (int k = 0; k < columns; k++) {
            int size = rows - k;
            T x = ops.slice(ops.slice(rest, 0, k, rows), 1, k, k + 1L);
            T first = ops.slice(x, 0, 0, 1);
            T norm = ops.sqrt(ops.sum(ops.mul(x, x), 0));
            T sign = ops.div(first, ops.sqrt(ops.mul(first, first)));
            float[] unit = new float[size];
            unit[0] = 1;
            T leading = ops.mul(ops.constant(new FloatTensor(Shape.of(size, 1), unit)), ops.mul(sign, norm));
            T v = ops.add(x, leading);
            T padded =
                    k == 0 ? v : ops.concat(0, List.of(ops.constant(new FloatTensor(Shape.of(k, 1), new float[k])), v));
            normals.add(padded);
            rest = reflected(ops, padded, rest);
        }
        float[] identity = new float[rows * columns];
        for (int k = 0; k < columns; k++) {
            identity[k * columns + k] = 1;
        }
        T q = ops.constant(new FloatTensor(Shape.of(rows, columns), identity));
        for (T normal : normals.reversed()) {
            q = reflected(ops, normal, q);
        }
        return q;
    }

    /** {@code x - 2·v·(vᵀ·x)/(vᵀ·v)}. */
    private static <T> T reflected(MatrixOps<T> ops, T v, T x) {
        T turned = ops.transpose(v, 1, 0);
        T along = ops.div(ops.matMul(turned, x), ops.matMul(turned, v));
        return ops.subtract(x, ops.affine(ops.matMul(v, along), 2, 0));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        Pair<T> pair = pair(ops, target, part.apply(P));
        T removed = removed(ops, pair, weight.get());
        T right =
                para ? ops.affine(removed, -1, 0) : ops.subtract(ops.affine(part.apply(R), scale(target), 0), removed);
        return WeightChange.of(new LowRank<>(pair.q(), right, 1));
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        return AdapterMethod.productShape(part.apply(P), part.apply(R));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        if (alpha.isPresent()) {
            ModuleNumbers.put(config, "alpha", alpha.get());
        } else {
            config.putNull("alpha");
        }
        config.put(DECOMPOSITION, orthogonal ? "qr" : "relu");
        config.put("deft_dropout", dropout);
        config.put("init_scale", 1.0);
        config.put("init_weights", true);
        config.put("para", para);
    }
}
