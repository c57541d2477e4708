package dev.adapt.formats.lors;

import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.binding.WeightChanges;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;

/**
 * The stacks of a model, in which layers share weights: the weight of each stack, and the residual {@code B_i·A_i} of each
 * layer as a change of it.
 *
 * @param targets the layers that share weights, in the model's order
 * @param tensors W_shared, A and B by the keys of their file
 */
public record Stacks(LorsLayout layout, List<Target> targets, SequencedMap<String, Tensor> tensors)
        implements WeightChanges {
    public Stacks {
        targets = List.copyOf(targets);
    }

    /** The residual of one layer, left [out, r·K] times right [r·K, in]. */
    public record Residual(FloatTensor left, FloatTensor right) {}

    /**
     * Stacks of tensors in memory.
     *
     * @throws IllegalArgumentException if a tensor is missing or has another shape than the layout gives it
     */
    public static Stacks of(LorsLayout layout, List<Target> targets, Map<String, ? extends Tensor> tensors) {
        SequencedMap<String, Tensor> ordered = new LinkedHashMap<>();
        layout.shapes(targets).forEach((key, shape) -> {
            Tensor tensor = tensors.get(key);
            if (tensor == null || !tensor.shape().equals(shape)) {
                String found = tensor == null ? "nothing" : tensor.shape().toString();
                throw new IllegalArgumentException(key + ": " + found + " in place of " + shape);
            }
            ordered.put(key, tensor);
        });
        return new Stacks(layout, targets, ordered);
    }

    /**
     * Stacks before any training. W_shared and B start Kaiming-uniform, as torch's linear layers do (each B_ik has its r
     * columns for inputs), A at 0: at first all layers of a stack are one.
     */
    static Stacks fresh(LorsLayout layout, List<Target> targets, RandomGenerator random) {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        SequencedMap<String, Shape> shapes = layout.shapes(targets);
        for (Target target : targets) {
            String shared = LorsLayout.sharedKey(target);
            if (!tensors.containsKey(shared)) {
                tensors.put(shared, drawn(new Initial.KaimingUniform(target.in()), shapes, shared, random));
            }
            String right = LorsLayout.rightKey(target);
            tensors.put(right, drawn(new Initial.Constant(0), shapes, right, random));
            String left = LorsLayout.leftKey(target);
            tensors.put(left, drawn(new Initial.KaimingUniform(layout.groupRank(target)), shapes, left, random));
        }
        return new Stacks(layout, targets, tensors);
    }

    private static FloatTensor drawn(Initial initial, Map<String, Shape> shapes, String key, RandomGenerator random) {
        return initial.values(Objects.requireNonNull(shapes.get(key)), random, () -> {
            throw new IllegalStateException(key + " starts from no weight");
        });
    }

    /**
     * The tensors of one stack by the keys of their file.
     *
     * @param shared W_shared, as the model stores a layer's weight
     * @param residuals of each layer
     */
    public static SequencedMap<String, Tensor> tensors(
            List<Target> layers, FloatTensor shared, List<Residual> residuals) {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(LorsLayout.sharedKey(layers.getFirst()), shared);
        for (int i = 0; i < layers.size(); i++) {
            tensors.put(LorsLayout.rightKey(layers.get(i)), residuals.get(i).right());
            tensors.put(LorsLayout.leftKey(layers.get(i)), residuals.get(i).left());
        }
        return tensors;
    }

    /** The key of the weight that a layer shares, by canonical name of the layer's weight. */
    public SequencedMap<String, String> sharedKeys() {
        SequencedMap<String, String> keys = new LinkedHashMap<>();
        targets.forEach(target -> keys.put(target.canonical() + ".weight", LorsLayout.sharedKey(target)));
        return keys;
    }

    /** The same stacks with other values. */
    Stacks with(Map<String, ? extends Tensor> values) {
        return of(layout, targets, values);
    }

    /** The same stacks, their layers under other names of their tensors. */
    Stacks with(List<Target> others) {
        return new Stacks(layout, others, tensors);
    }

    @Override
    public String title() {
        return LorsLayout.NAME;
    }

    @Override
    public int rank(Target target) {
        return layout.rank(target);
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> tensor, Supplier<T> weight) {
        return WeightChange.of(
                new LowRank<>(tensor.apply(LorsLayout.leftKey(target)), tensor.apply(LorsLayout.rightKey(target)), 1));
    }

    /** A and B of a layer. */
    @Override
    public Map<String, Tensor> tensorsOf(Target target) {
        Map<String, Tensor> own = new LinkedHashMap<>();
        for (String key : List.of(LorsLayout.rightKey(target), LorsLayout.leftKey(target))) {
            own.put(key, Objects.requireNonNull(tensors.get(key), key));
        }
        return own;
    }
}
