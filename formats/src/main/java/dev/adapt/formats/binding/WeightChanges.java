package dev.adapt.formats.binding;

import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Changes of a checkpoint's weights, target by target, and the tensors they are computed from: all that a forward pass and a
 * merge need to know. A {@link BoundAdapter} is such changes; so are the residuals of layers that share a weight.
 */
public interface WeightChanges {
    /** What messages call the method that makes them. */
    String title();

    /** The changed weights, in the checkpoint's order. */
    List<Target> targets();

    /** The tensors they are computed from, by the keys of their file. */
    Map<String, Tensor> tensors();

    /**
     * The change of one target.
     *
     * @param tensor the tensor of a key of {@link #tensors}
     * @param weight the target's frozen weight [out, in]; asked only where the change is computed from it
     */
    <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> tensor, Supplier<T> weight);

    /** The tensors that the change of a target is computed from, by their keys. */
    Map<String, Tensor> tensorsOf(Target target);

    /** The rank of the change of a target; 0 where it has none. */
    int rank(Target target);

    /** Whether the delta of a target is a {@link dev.adapt.formats.algebra.LowRank} product, without a gain of the inputs. */
    default boolean hasLowRankDelta(Target target) {
        return true;
    }

    /** Whether every change adds a matrix and does nothing else, so that changes can be weighted and summed. */
    default boolean isAdditive() {
        return true;
    }

    /** How much of its weight an element of a target's changed weight depends on. */
    default Delta.Scope scope(Target target) {
        return Delta.Scope.ELEMENT;
    }

    /** Whether biases change too. */
    default boolean changesBias() {
        return false;
    }

    /** Tensors that take the place of the checkpoint's, or are new, by canonical name. */
    default Map<String, Tensor> saved() {
        return Map.of();
    }

    /** What changes in the checkpoint's config.json. */
    default BaseChange change() {
        return BaseChange.of(Optional.empty());
    }

    /**
     * The change of every target, by its canonical module name, for a forward pass.
     *
     * @param tensor the tensor of a key of {@link #tensors}, and of the canonical name of a target's weight
     */
    default <T> Map<String, Layers.Adapted<T>> changes(MatrixOps<T> ops, Function<String, T> tensor) {
        Map<String, Layers.Adapted<T>> changes = new LinkedHashMap<>();
        Map<String, Long> counts =
                targets().stream().collect(Collectors.groupingBy(Target::canonical, Collectors.counting()));
        for (Target target : targets()) {
            // one expert of a tensor that the graph has as a stack too
            Optional<Storage.Expert> stacked = target.storage() instanceof Storage.Expert expert
                            && expert.count() == Objects.requireNonNull(counts.get(target.canonical()))
                    ? Optional.of(expert)
                    : Optional.empty();
            WeightChange<T> change = change(ops, target, tensor, () -> weight(ops, target, stacked, tensor));
            String name = stacked.map(expert -> target.canonical() + "." + expert.index())
                    .orElse(target.canonical());
            changes.put(name, new Layers.Adapted<>(change, target.out(), target.in()));
        }
        return changes;
    }

    private static <T> T weight(
            MatrixOps<T> ops, Target target, Optional<Storage.Expert> stacked, Function<String, T> tensor) {
        if (stacked.isPresent()) {
            Storage.Expert expert = stacked.get();
            T stored = ops.slice(tensor.apply(target.canonical()), 0, expert.index(), expert.index() + 1L);
            T matrix = expert.transposed()
                    ? ops.reshape(stored, target.in(), target.out())
                    : ops.reshape(stored, target.out(), target.in());
            return expert.transposed() ? ops.transpose(matrix, 1, 0) : matrix;
        }
        T weight = tensor.apply(target.canonical() + ".weight");
        return target.transposed() ? ops.transpose(weight, 1, 0) : weight;
    }

    /**
     * A weight with its change, for weights that are not the base's: in float64, rounded once.
     *
     * @param weight as the base stores it
     */
    default FloatTensor adapted(Target target, FloatTensor weight) {
        ReferenceOps ops = new ReferenceOps();
        DoubleTensor upright = DoubleTensor.of(target.upright(weight));
        return target.asStored(
                change(ops, target, upright).changed(ops, upright, Region.of(target.out(), target.in())));
    }

    /**
     * The change of one target in float64.
     *
     * @param upright the target's weight [out, in]
     */
    default WeightChange<DoubleTensor> change(ReferenceOps ops, Target target, DoubleTensor upright) {
        return change(
                ops,
                target,
                key -> DoubleTensor.of(Objects.requireNonNull(tensors().get(key), key)),
                () -> upright);
    }
}
