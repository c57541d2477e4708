package dev.adapt.merge.plan;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.WeightChanges;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Quantization;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.Floats;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * What a merge will do, file by file in the order of their bytes, checked before one is written.
 *
 * @param added tensors that the base does not have, by name
 */
public record MergePlan(List<Output> outputs, Set<String> added) {
    public MergePlan {
        outputs = List.copyOf(outputs);
    }

    /** One file to write: its name in a checkpoint folder, the header it gets, its tasks in the order of its data. */
    public record Output(String name, SafetensorsHeader header, List<Task> tasks) {
        public Output {
            tasks = List.copyOf(tasks);
        }
    }

    /** What one adapter adds to a weight: its update, times a weight of its own. */
    public record Contribution(WeightChanges adapter, Target target, double weight, Shared shared) {
        /**
         * The change it makes.
         *
         * @param stored the base's tensor that holds the target
         */
        public WeightChange<Tensor> change(TensorView stored) {
            FactorOps ops = new FactorOps(shared.columns());
            return adapter.change(
                    ops,
                    target,
                    key -> Objects.requireNonNull(adapter.tensors().get(key)),
                    () -> target.transposed() ? ops.transpose(matrix(stored), 1, 0) : matrix(stored));
        }

        private Tensor matrix(TensorView stored) {
            Shape shape = target.storedShape();
            return stored.shape().equals(shape) ? stored : new MatrixView(stored, target.offset(), shape);
        }
    }

    /** What the contributions of one plan share. */
    public static final class Shared {
        private final ExpertColumns columns = new ExpertColumns();

        private Shared() {}

        ExpertColumns columns() {
            return columns;
        }
    }

    /** What becomes of a run of bytes. */
    public sealed interface Task {
        /** Bytes of neighbouring tensors that nobody touches. */
        record Copy(Path file, long position, long bytes, long offset, int tensors) implements Task {}

        /** A weight that gets its update: the sum of its parts, of which there is at least one. */
        record Adapt(TensorView weight, List<Contribution> parts, TensorInfo place) implements Task {
            public Adapt {
                parts = List.copyOf(parts);
            }

            /** The rank of the whole update. */
            public int rank() {
                return parts.stream()
                        .mapToInt(part -> part.adapter().rank(part.target()))
                        .sum();
            }

            /** The layer, as the first adapter has it. */
            public Target target() {
                return parts.getFirst().target();
            }
        }

        /**
         * A tensor that the adapter holds whole, in the place of the base's or new.
         *
         * @param base the checkpoint it comes into, for messages
         */
        record Replace(Tensor values, TensorInfo place, Path base) implements Task {}
    }

    /** A matrix of a tensor, by the element it begins with. */
    private record Place(String tensor, long offset) {}

    /** An adapter, and what its update is multiplied with. */
    public record Weighted(WeightChanges adapter, double weight) {}

    /**
     * Plans a merge of the weighted sum of adapters' updates.
     *
     * @param maxShardBytes the most that the tensors of a file have together, unless it holds only one; without it, the
     *     files are those of the base
     * @throws FormatException if a weight's dtype cannot be written, two targets of an adapter are one tensor, or an
     *     adapter holds whole what another changes
     * @throws UsageException if an adapter's update is not one that can be added or weighted
     */
    public static MergePlan of(Checkpoint base, List<Weighted> adapters, OptionalLong maxShardBytes) {
        Map<String, SortedMap<Long, List<Contribution>>> targets = new LinkedHashMap<>();
        Map<String, Tensor> saved = new LinkedHashMap<>();
        Map<String, String> copies = new LinkedHashMap<>();
        Shared shared = new Shared();
        for (Weighted each : adapters) {
            requireLinear(each, adapters.size());
            Map<String, Tensor> own = savedByTensor(base, each);
            own.forEach((name, tensor) -> {
                if (saved.put(name, tensor) != null) {
                    throw contended(base, name);
                }
            });
            Set<Place> seen = new LinkedHashSet<>();
            for (Target target : each.adapter().targets()) {
                if (!seen.add(new Place(target.tensor(), target.offset()))) {
                    throw new FormatException(base.path(), target.tensor(), "is adapted twice by one adapter");
                }
                if (!own.containsKey(target.tensor())) {
                    targets.computeIfAbsent(target.tensor(), absent -> new TreeMap<>())
                            .computeIfAbsent(target.offset(), absent -> new ArrayList<>())
                            .add(new Contribution(each.adapter(), target, each.weight(), shared));
                }
            }
            copies.putAll(copies(base, each.adapter()));
        }
        for (String name : saved.keySet()) {
            if (targets.containsKey(name)) {
                throw contended(base, name);
            }
        }
        return of(base, targets, saved, copies, maxShardBytes);
    }

    private static FormatException contended(Checkpoint base, String name) {
        return new FormatException(
                base.path(),
                name,
                "is held whole by one of the adapters and changed by another: merge them one by one");
    }

    private static void requireLinear(Weighted each, int adapters) {
        if (!each.adapter().isAdditive() && (adapters > 1 || each.weight() != 1)) {
            throw new UsageException("a " + each.adapter().title()
                    + " adapter does more to a weight than adding to it, so that its change cannot be weighted or added to"
                    + " others; merge it alone");
        }
    }

    private static MergePlan of(
            Checkpoint base,
            Map<String, SortedMap<Long, List<Contribution>>> targets,
            Map<String, Tensor> saved,
            Map<String, String> copies,
            OptionalLong maxShardBytes) {
        Set<String> added = new LinkedHashSet<>(saved.keySet());
        added.removeAll(base.tensors().keySet());
        added.removeAll(copies.keySet());
        List<Layout> layouts = Layout.ofBase(base, saved, added, copies);
        if (maxShardBytes.isPresent()) {
            layouts = Layout.inShards(layouts, maxShardBytes.getAsLong(), base.names());
        }
        List<Output> outputs = new ArrayList<>();
        for (Layout layout : layouts) {
            SafetensorsHeader header = SafetensorsHeader.inOrder(layout.tensors(), layout.metadata());
            outputs.add(new Output(layout.file(), header, tasks(base, header, targets, saved, copies)));
        }
        added.addAll(copies.keySet());
        return new MergePlan(outputs, added);
    }

    /** The adapter's saved tensors by the names the base gives them, or would; its updates are added where it adapts them too. */
    private static Map<String, Tensor> savedByTensor(Checkpoint base, Weighted each) {
        WeightChanges adapter = each.adapter();
        if (adapter.saved().isEmpty() && !adapter.changesBias()) {
            return Map.of();
        }
        Binding binding = new Binding(base);
        TensorNames names = binding.names();
        Map<String, Tensor> saved = new LinkedHashMap<>();
        adapter.saved()
                .forEach((canonical, tensor) ->
                        saved.put(names.find(canonical).orElseGet(() -> names.spelled(canonical)), tensor));
        for (Target target : adapter.targets()) {
            if (saved.containsKey(target.tensor()) && each.weight() != 1) {
                throw new UsageException("an adapter both holds " + target.tensor()
                        + " whole and adapts it: such an update cannot be weighted; merge it alone");
            }
            saved.computeIfPresent(target.tensor(), (name, weight) -> adapter.adapted(target, FloatTensor.of(weight)));
            if (adapter.changesBias()) {
                changeBias(base, binding, each, target, saved);
            }
        }
        return saved;
    }

    private static void changeBias(
            Checkpoint base, Binding binding, Weighted each, Target target, Map<String, Tensor> saved) {
        if (each.weight() != 1) {
            throw new UsageException("a " + each.adapter().title()
                    + " adapter changes biases, so that it cannot be weighted; merge it alone");
        }
        TensorView weight = binding.weight(target);
        FactorOps ops = new FactorOps();
        WeightChange<Tensor> change = new Contribution(each.adapter(), target, 1, new Shared()).change(weight);
        if (change.bias().isEmpty()) {
            return;
        }
        Optional<TensorView> stored = binding.find(target.canonical() + ".bias");
        stored.filter(bias -> bias.shape().elements() != target.out()).ifPresent(bias -> {
            throw new FormatException(
                    bias.file(),
                    bias.name(),
                    "has shape " + bias.shape() + ", expected [" + target.out() + "], as its layer has outputs");
        });
        Optional<Tensor> old =
                stored.map(TensorView::name).<Tensor>map(saved::get).or(() -> stored);
        change.biasOf(old)
                .filter(changed -> old.filter(changed::equals).isEmpty())
                .ifPresent(changed -> {
                    TensorView place = stored.orElseThrow(() -> new FormatException(
                            base.path(),
                            target.canonical(),
                            "has no bias, and the adapter adds one: the base's class would not load it; train the adapter on a"
                                    + " base with biases, or without those of this layer"));
                    saved.put(place.name(), ops.reshape(changed, place.shape().toArray()));
                });
    }

    /** New tensors that begin as one of the base: a head that was the table of words, and no longer is. */
    private static Map<String, String> copies(Checkpoint base, WeightChanges adapter) {
        Map<String, String> copies = new LinkedHashMap<>();
        if (adapter.change().unties()) {
            TensorNames names = TensorNames.of(base);
            String head = names.head().orElseThrow() + ".weight";
            String table = names.table().orElseThrow() + ".weight";
            if (names.find(head).isEmpty()) {
                copies.put(names.spelled(head), names.find(table).orElseThrow());
            }
        }
        return copies;
    }

    private static List<Task> tasks(
            Checkpoint base,
            SafetensorsHeader header,
            Map<String, SortedMap<Long, List<Contribution>>> targets,
            Map<String, Tensor> saved,
            Map<String, String> copies) {
        List<Task> tasks = new ArrayList<>();
        for (TensorInfo place : header.tensors()) {
            Tensor replacement = saved.get(place.name());
            SortedMap<Long, List<Contribution>> parts = targets.get(place.name());
            TensorView source = base.tensors().get(copies.getOrDefault(place.name(), place.name()));
            if (replacement != null) {
                requireWritable(base, place);
                tasks.add(new Task.Replace(replacement, place, source == null ? base.path() : source.file()));
            } else if (source == null) {
                throw new IllegalStateException("nothing to make " + place.name() + " of");
            } else if (parts != null) {
                requireWritable(base, place);
                adapt(tasks, source, parts, place);
            } else {
                copy(tasks, source, place);
            }
        }
        return tasks;
    }

    /** The matrices of a tensor that are adapted, and copies of the others. */
    private static void adapt(
            List<Task> tasks, TensorView source, SortedMap<Long, List<Contribution>> parts, TensorInfo place) {
        long done = 0;
        int width = Floats.of(place.dtype()).bytes();
        for (Map.Entry<Long, List<Contribution>> matrix : parts.entrySet()) {
            long begin = matrix.getKey() * width;
            copyRun(tasks, source, place, done, begin);
            tasks.add(new Task.Adapt(source, matrix.getValue(), place));
            done = begin + matrix.getValue().getFirst().target().storedShape().elements() * width;
        }
        copyRun(tasks, source, place, done, place.bytes());
    }

    private static void copyRun(List<Task> tasks, TensorView source, TensorInfo place, long from, long to) {
        if (to > from) {
            tasks.add(new Task.Copy(source.file(), source.position() + from, to - from, place.begin() + from, 0));
        }
    }

    private static void copy(List<Task> tasks, TensorView source, TensorInfo place) {
        if (!tasks.isEmpty()
                && tasks.getLast() instanceof Task.Copy(Path file, long position, long bytes, long offset, int tensors)
                && file.equals(source.file())
                && position + bytes == source.position()
                && offset + bytes == place.begin()) {
            tasks.set(tasks.size() - 1, new Task.Copy(file, position, bytes + place.bytes(), offset, tensors + 1));
        } else {
            tasks.add(new Task.Copy(source.file(), source.position(), place.bytes(), place.begin(), 1));
        }
    }

    private static void requireWritable(Checkpoint base, TensorInfo place) {
        if (!Floats.has(place.dtype())) {
            TensorView tensor = base.tensors().get(place.name());
            Optional<Quantization> quantized = Quantization.of(base.tensors(), place.name());
            if (tensor != null && quantized.isPresent()) {
                throw quantized.get().refusal(tensor.file(), place.name());
            }
            throw new FormatException(
                    tensor == null ? base.path() : tensor.file(),
                    place.name(),
                    "holds " + place.dtype() + ", expected F64, F32, F16 or BF16 to merge into");
        }
    }

    /** How many tensors are changed by an adapter. */
    public long adapted() {
        return outputs.stream()
                .flatMap(output -> output.tasks().stream())
                .flatMap(task -> task instanceof Task.Adapt adapt
                        ? Stream.of(adapt.place().name())
                        : Stream.empty())
                .distinct()
                .count();
    }

    /** How many tensors are taken from the adapter whole. */
    public long replaced() {
        return count(Task.Replace.class);
    }

    private long count(Class<? extends Task> kind) {
        return outputs.stream()
                .flatMap(output -> output.tasks().stream())
                .filter(kind::isInstance)
                .count();
    }

    /** How many tensors are copied as they are. */
    public long copied() {
        return outputs.stream()
                .flatMap(output -> output.tasks().stream())
                .mapToLong(task -> task instanceof Task.Copy copy ? copy.tensors() : 0)
                .sum();
    }

    /** The size of all files to write. */
    public long bytes() {
        return outputs.stream().mapToLong(output -> output.header().fileBytes()).sum();
    }
}
