package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Inverse;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Svd;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * FRoD: {@code W' = U·(S + diag(λ))·Vᵀ} (arXiv 2512.23485). V [in, in] is shared by the layers of one kind, U [out, in] holds
 * the columns of {@code W·V⁻ᵀ} divided by their lengths, S is a sparse matrix [in, in] at places that those layers share.
 * Trained are λ [in], which starts at those lengths, and the values of S, which start at 0.
 *
 * <p>V must be stored: PEFT computes it from eigenvectors of the base's weights, whose signs are those that the machine's
 * LAPACK chose, and S depends on them.
 *
 * @param sparseRate the share of S that is not 0
 * @param seed of the places of S
 * @param regularization of the inverses that V is computed from
 */
public record Frod(double sparseRate, long seed, double regularization, double dropout) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "FROD",
            "frod",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).dropout("frod_dropout"));

    private static final String LAMBDA = "frod_lambda_l";
    private static final String VALUES = "frod_lambda_s_values";
    private static final String V = "frod_V";
    private static final String PLACES = "frod_s_indices";
    private static final String SIZE = "frod_s_size";
    private static final String SAVE = "save_projection";
    private static final String RATE = "sparse_rate";

    /** PEFT's limits: of a column's length that counts as 0, and of singular values where V has no inverse. */
    private static final double LEAST_LENGTH = 1e-8;

    private static final double LEAST_RATIO = 1e-6;

    private static Frod of(AdapterConfig config) {
        if (!config.document().flag(SAVE, true)) {
            throw new FormatException(
                    config.path(),
                    SAVE,
                    "is false, and V is made of eigenvectors of the base's weights, whose signs are those that the"
                            + " machine's LAPACK chose: it cannot be computed again; save the adapter with " + SAVE
                            + " true");
        }
        double rate = config.document().number(RATE, 0.01);
        if (!(rate >= 0 && rate <= 1)) {
            throw config.document().wrong(RATE, "a share from 0 to 1");
        }
        return new Frod(
                rate,
                config.document().whole("projection_prng_key").orElse(0L),
                config.document().number("regularization_alpha", 1e-3),
                config.document().number("frod_dropout", 0));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "FRoD";
    }

    @Override
    public List<String> partNames() {
        return List.of(LAMBDA, VALUES);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                "frod_dropout",
                "init_weights",
                "progressbar",
                "projection_prng_key",
                "regularization_alpha",
                "runtime_offload_base_weight",
                SAVE,
                RATE);
    }

    @Override
    public boolean isInteger(String part) {
        return part.equals(PLACES) || part.equals(SIZE);
    }

    @Override
    public List<Integer> integerLimits(String part, Target target) {
        return part.equals(PLACES) ? List.of(target.in(), target.in()) : List.of();
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public Optional<String> untrainable() {
        return Optional.of(
                "its V is computed from the weights of all layers of a kind, which adapt does not do; train it"
                        + " with PEFT and merge it here");
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.unlessLinear(title());
    }

    /** The kind of a layer, as PEFT names it: the last two words of a module's name, or the last after a number. */
    static String kind(String module) {
        String[] words = module.split("\\.", -1);
        int last = words.length - 1;
        if (last == 0 || words[last - 1].chars().allMatch(Character::isDigit)) {
            return words[last];
        }
        String kind = words[last - 1] + "_" + words[last];
        return kind.equals("output_dense") && last > 1 && words[last - 2].equals("attention")
                ? "attention_output"
                : kind;
    }

    /** How many elements of S are not 0: none on its diagonal. */
    private int count(Target target) {
        long all = (long) target.in() * target.in();
        long most = all - target.in();
        long some = Math.min((long) (all * sparseRate), most);
        return Math.toIntExact(sparseRate > 0 && most > 0 ? Math.max(1, some) : some);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        Initial zero = new Initial.Constant(0);
        int in = target.in();
        return List.of(
                Part.trained(LAMBDA, Shape.of(in), zero),
                Part.trained(VALUES, Shape.of(count(target)), zero),
                ofKind(V, target, Shape.of(in, in)),
                ofKind(PLACES, target, Shape.of(2, count(target))),
                ofKind(SIZE, target, Shape.of(2)));
    }

    private static Part ofKind(String name, Target target, Shape shape) {
        return new Part(
                name, Optional.of(kind(target.module())), shape, new Initial.Constant(0), Part.Scope.ALL, false, true);
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int in = target.in();
        return WeightChange.of(Delta.Dense.whole(() -> {
            T v = part.apply(V);
            T u = ops.computed(ops.concat(0, List.of(weight.get(), v)), both -> directions(both, target.out(), in));
            T s = ops.scatter(part.apply(VALUES), part.apply(PLACES), Region.of(in, in));
            T turned = ops.add(ops.mul(u, part.apply(LAMBDA)), ops.matMul(u, s));
            return ops.subtract(ops.matMul(turned, ops.transpose(v, 1, 0)), weight.get());
        }));
    }

    /** U of a weight and V, one above the other. */
    private static DoubleTensor directions(DoubleTensor both, int out, int in) {
        ReferenceOps ops = new ReferenceOps();
        DoubleTensor v = ops.slice(both, 0, out, out + in);
        DoubleTensor inverse = Inverse.of(v).orElseGet(() -> pseudoInverse(v));
        DoubleTensor u = ops.matMul(ops.slice(both, 0, 0, out), ops.transpose(inverse, 1, 0));
        DoubleTensor lengths = ops.sqrt(ops.sum(ops.mul(u, u), 0));
        double[] scales = new double[in];
        for (int i = 0; i < in; i++) {
            double length = lengths.values()[i];
            scales[i] = length > LEAST_LENGTH ? 1 / length : 0;
        }
        return ops.mul(u, new DoubleTensor(Shape.of(in), scales));
    }

    private static DoubleTensor pseudoInverse(DoubleTensor matrix) {
        ReferenceOps ops = new ReferenceOps();
        Svd svd = Svd.of(matrix);
        int n = 0;
        while (n < svd.values().length && svd.values()[n] > LEAST_RATIO * svd.values()[0]) {
            n++;
        }
        DoubleTensor right = ops.transpose(svd.rightRows(0, n, -1), 1, 0);
        return ops.matMul(right, ops.transpose(svd.leftColumns(0, n, 0), 1, 0));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put(RATE, sparseRate);
        config.put("projection_prng_key", seed);
        config.put("regularization_alpha", regularization);
        config.put("frod_dropout", dropout);
        config.put(SAVE, true);
        config.put("init_weights", true);
        config.put("progressbar", true);
        config.put("runtime_offload_base_weight", false);
    }
}
