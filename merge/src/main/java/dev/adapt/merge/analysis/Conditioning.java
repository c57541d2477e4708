package dev.adapt.merge.analysis;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.Stack;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.convert.AdapterLayers;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Subspace;
import dev.adapt.merge.lowrank.Svd;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * Whether the layers of an adapter are made of their frozen weights in one way, as CondLoRA takes for granted (Kim, Sakai and
 * Kokubo, "A Single Linear Layer Yields Task-Adapted Low-Rank Matrices", LREC-COLING 2024, section 3): the matrices
 * {@code θ_A = (W₀ᵀ)⁺·Aᵀ} [out, r] and {@code θ_B = W₀⁺·B} [in, r] that convert W₀ to a layer's factors, by W₀'s
 * pseudo-inverse, are compared between layers, and so are random matrices of their shape.
 *
 * @param directions i and j of φ, or the adapter's rank
 * @param seed of the random matrices
 */
public record Conditioning(Optional<Integer> directions, long seed) {
    /**
     * One stack's conversions.
     *
     * @param toA similarities of the matrices that convert W₀ to A
     * @param toB similarities of those that convert W₀ to B
     * @param randomA similarities of random matrices of the first ones' shape
     * @param randomB similarities of random matrices of the second ones' shape
     */
    public record Conversions(
            Stack stack, Similarities toA, Similarities toB, Similarities randomA, Similarities randomB) {}

    /**
     * How alike two adapters are in one layer: φ of the row spaces of A, the column spaces of B and of ΔW, each beside φ of the
     * first and a random matrix.
     */
    public record Likeness(
            String module, double a, double b, double delta, double randomA, double randomB, double randomDelta) {}

    /** What converts W₀ to a layer's factors. */
    private record Converters(Subspace toA, Subspace toB) {}

    /**
     * Compares the layers of an adapter, stack by stack; stacks of one layer are left out.
     *
     * @throws FormatException if a factor is 0, or no stack has two layers
     * @throws UsageException if there are fewer directions than asked for
     */
    public List<Conversions> ofLayers(AdapterLayers layers, Checkpoint base) {
        Binding binding = new Binding(base);
        List<Conversions> all = new ArrayList<>();
        Random random = new Random(seed);
        for (Map.Entry<Stack, List<Target>> stack : Stack.of(layers.targets()).entrySet()) {
            if (stack.getValue().size() > 1) {
                all.add(conversions(stack.getKey(), stack.getValue(), layers, binding::weight, random));
            }
        }
        if (all.isEmpty()) {
            throw new FormatException(
                    layers.file(), "adapts no two layers of one kind: there is nothing to compare between layers");
        }
        return all;
    }

    private Conversions conversions(
            Stack stack,
            List<Target> targets,
            AdapterLayers layers,
            Function<Target, ? extends Tensor> weight,
            Random random) {
        // an adapter widens what its layers share once, on the thread that asks
        List<Factors> factors = targets.stream()
                .map(target -> layers.layer().apply(target).factors())
                .toList();
        List<Converters> converters = IntStream.range(0, targets.size())
                .parallel()
                .mapToObj(layer -> converters(
                        layers.file(), targets.get(layer), factors.get(layer), weight.apply(targets.get(layer))))
                .toList();
        Converters first = converters.getFirst();
        int i = directions(Math.min(first.toA().rank(), first.toB().rank()));
        List<String> names = targets.stream().map(Target::module).toList();
        return new Conversions(
                stack,
                Similarities.of(names, converters.stream().map(Converters::toA).toList(), i),
                Similarities.of(names, converters.stream().map(Converters::toB).toList(), i),
                Similarities.of(names, randoms(names.size(), first.toA(), random), i),
                Similarities.of(names, randoms(names.size(), first.toB(), random), i));
    }

    private int directions(int rank) {
        int asked = directions.orElse(rank);
        if (asked < 1 || asked > rank) {
            throw new UsageException(
                    "directions", "expected 1 to " + rank + ", the rank of the adapter's updates, found " + asked);
        }
        return asked;
    }

    private static List<Subspace> randoms(int count, Subspace like, Random random) {
        List<Subspace> randoms = new ArrayList<>();
        for (int layer = 0; layer < count; layer++) {
            randoms.add(Subspace.random(Math.toIntExact(like.basis().shape().dim(0)), like.rank(), random));
        }
        return randoms;
    }

    private static Converters converters(Path file, Target target, Factors factors, Tensor stored) {
        ReferenceOps ops = new ReferenceOps();
        try {
            Svd weight = Svd.of(DoubleTensor.of(target.upright(stored)));
            DoubleTensor inverse = inverse(weight.values());
            DoubleTensor left = weight.left();
            DoubleTensor right = weight.right();
            // W₀⁺ = V·diag(1/s)·Uᵀ
            DoubleTensor toB = ops.matMul(
                    ops.transpose(right, 1, 0),
                    ops.mul(inverse, ops.matMul(ops.transpose(left, 1, 0), factors.left())));
            DoubleTensor toA =
                    ops.matMul(left, ops.mul(inverse, ops.matMul(right, ops.transpose(factors.right(), 1, 0))));
            return new Converters(Subspace.of(toA), Subspace.of(toB));
        } catch (ArithmeticException e) {
            throw new FormatException(file, target.module(), "cannot be analysed: " + e.getMessage());
        }
    }

    /** 1/s as a column, 0 where s is 0 but for rounding, by LAPACK's rule: below the largest times the side's length times ε. */
    private static DoubleTensor inverse(double[] values) {
        double smallest = values[0] * values.length * Math.ulp(1.0);
        double[] inverse = new double[values.length];
        for (int i = 0; i < inverse.length; i++) {
            inverse[i] = values[i] > smallest ? 1 / values[i] : 0;
        }
        return new DoubleTensor(Shape.of(inverse.length, 1), inverse);
    }

    /**
     * Compares two adapters on one base, layer by layer, in the order of the first (the paper's table 3).
     *
     * @throws FormatException if a factor is 0, or they share no layer
     * @throws UsageException if there are fewer directions than asked for
     */
    public List<Likeness> ofAdapters(AdapterLayers left, AdapterLayers right) {
        SequencedMap<String, Target> byName = new LinkedHashMap<>();
        right.targets().forEach(target -> byName.put(target.canonical(), target));
        Random random = new Random(seed);
        List<Likeness> likenesses = new ArrayList<>();
        for (Target target : left.targets()) {
            Target partner = byName.get(target.canonical());
            if (partner != null) {
                likenesses.add(likeness(subspaces(left, target), subspaces(right, partner), target.module(), random));
            }
        }
        if (likenesses.isEmpty()) {
            throw new FormatException(left.file(), "adapts no layer that " + right.file() + " adapts too");
        }
        return likenesses;
    }

    /** The row space of A, the column spaces of B and of ΔW. */
    private record Subspaces(Subspace a, Subspace b, Subspace delta) {}

    private static Subspaces subspaces(AdapterLayers layers, Target target) {
        Factors factors = layers.layer().apply(target).factors();
        try {
            return new Subspaces(
                    Subspace.of(factors.transposed().left()),
                    Subspace.of(factors.left()),
                    Subspace.of(Svd.ofProduct(factors.left(), factors.right())));
        } catch (ArithmeticException e) {
            throw new FormatException(layers.file(), target.module(), "cannot be analysed: " + e.getMessage());
        }
    }

    private Likeness likeness(Subspaces left, Subspaces right, String module, Random random) {
        int i = directions(Math.min(left.delta().rank(), right.delta().rank()));
        return new Likeness(
                module,
                left.a().similarity(right.a(), i, i),
                left.b().similarity(right.b(), i, i),
                left.delta().similarity(right.delta(), i, i),
                left.a().similarity(randoms(1, left.a(), random).getFirst(), i, i),
                left.b().similarity(randoms(1, left.b(), random).getFirst(), i, i),
                left.delta().similarity(randoms(1, left.delta(), random).getFirst(), i, i));
    }
}
