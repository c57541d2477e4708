package dev.adapt.formats.model;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedSet;
import java.util.function.BiFunction;

/**
 * The tensors that base + adapter stand for, by canonical name, each computed when it is asked for. It says what a merge
 * must give, and what it gives where it is done wrongly. The checkpoint must stay open meanwhile.
 */
public final class AdaptedWeights {
    private final Checkpoint base;
    private final BoundAdapter adapter;
    private final TensorNames names;
    private final Map<String, List<Target>> targets = new LinkedHashMap<>();
    private final Map<String, Target> biases = new LinkedHashMap<>();
    private final Map<String, String> tied = new LinkedHashMap<>();

    public AdaptedWeights(Checkpoint base, BoundAdapter adapter) {
        this.base = base;
        this.adapter = adapter;
        this.names = TensorNames.of(base);
        for (Target target : adapter.targets()) {
            targets.computeIfAbsent(names.canonical(target.tensor()), absent -> new ArrayList<>())
                    .add(target);
            if (adapter.method().changesBias()) {
                biases.put(target.canonical() + ".bias", target);
            }
        }
        if (adapter.change().unties()) {
            String head = names.head().orElseThrow() + ".weight";
            String table = names.table().orElseThrow() + ".weight";
            if (!adapter.saved().containsKey(head)) {
                targets.putIfAbsent(head, targets.getOrDefault(table, List.of()));
            }
        } else if (names.isTied()) {
            tied.put(names.head().orElseThrow() + ".weight", names.table().orElseThrow() + ".weight");
        }
    }

    /** The head that is the embedding table, if it is. */
    public Optional<String> tiedHead() {
        return tied.keySet().stream().findFirst();
    }

    /** The names of all tensors of the result; a head that is the embedding table has its own. */
    public SequencedSet<String> names() {
        SequencedSet<String> all = new LinkedHashSet<>(names.tensors());
        all.addAll(tied.keySet());
        all.addAll(adapter.saved().keySet());
        biases.forEach((name, target) -> {
            if (changedBias(target, name).isPresent()) {
                all.add(name);
            }
        });
        return all;
    }

    /** Whether the adapter changes or replaces a tensor. */
    public boolean changes(String name) {
        if (tied.containsKey(name)) {
            return changes(tied.getOrDefault(name, name));
        }
        return targets.containsKey(name)
                || biases.containsKey(name)
                || adapter.saved().containsKey(name);
    }

    /** A tensor of the base, if it has it. */
    public Optional<FloatTensor> before(String name) {
        return names.find(tied.getOrDefault(name, name))
                .map(stored -> Objects.requireNonNull(base.tensors().get(stored)))
                .filter(tensor -> tensor.dtype().floatFormat().isPresent())
                .map(FloatTensor::of);
    }

    /** A tensor as the adapter leaves it, in float32; empty for one that neither the base nor the adapter has. */
    public Optional<FloatTensor> after(String name) {
        if (tied.containsKey(name)) {
            return after(tied.getOrDefault(name, name));
        }
        Tensor saved = adapter.saved().get(name);
        if (saved != null) {
            return Optional.of(FloatTensor.of(saved));
        }
        Target biased = biases.get(name);
        if (biased != null) {
            return changedBias(biased, name);
        }
        return before(name).map(weight -> adapted(name, weight));
    }

    /** The same with the adapter's change made twice. */
    public Optional<FloatTensor> twice(String name) {
        return targets.containsKey(name) ? after(name).map(once -> adapted(name, once)) : Optional.empty();
    }

    /** The same without what scales the changed weight's rows, such as DoRA's magnitude, where something does. */
    public Optional<FloatTensor> withoutGain(String name) {
        return targets.containsKey(name)
                ? before(name).map(weight -> changed(name, weight, this::beforeGain))
                : Optional.empty();
    }

    private FloatTensor adapted(String name, FloatTensor weight) {
        return changed(name, weight, adapter::adapted);
    }

    private FloatTensor changed(String name, FloatTensor weight, BiFunction<Target, FloatTensor, FloatTensor> change) {
        List<Target> own = targets.getOrDefault(name, List.of());
        if (own.isEmpty()) {
            return weight;
        }
        float[] values = weight.values().clone();
        for (Target target : own) {
            int from = Math.toIntExact(target.offset());
            int to = from + Math.multiplyExact(target.out(), target.in());
            FloatTensor part = new FloatTensor(target.storedShape(), Arrays.copyOfRange(values, from, to));
            System.arraycopy(change.apply(target, part).values(), 0, values, from, to - from);
        }
        return new FloatTensor(weight.shape(), values);
    }

    private FloatTensor beforeGain(Target target, FloatTensor weight) {
        ReferenceOps ops = new ReferenceOps();
        DoubleTensor upright = DoubleTensor.of(target.upright(weight));
        return target.asStored(
                adapter.change(ops, target, upright).beforeOutGain(ops, upright, Region.of(target.out(), target.in())));
    }

    private Optional<FloatTensor> changedBias(Target target, String name) {
        if (target.storage() instanceof Storage.Expert) {
            return before(name);
        }
        ReferenceOps ops = new ReferenceOps();
        TensorView stored = Objects.requireNonNull(base.tensors().get(target.tensor()));
        DoubleTensor upright =
                DoubleTensor.of(target.upright(new FloatTensor(target.storedShape(), stored.toFloats())));
        return adapter.change(ops, target, upright)
                .biasOf(before(name).map(DoubleTensor::of))
                .map(bias -> new FloatTensor(Shape.of(bias.values().length), bias.toFloats()));
    }
}
