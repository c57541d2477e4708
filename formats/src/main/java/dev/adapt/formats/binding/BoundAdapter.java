package dev.adapt.formats.binding;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;

/**
 * An adapter on its base: every module found, every shape checked, every regenerated tensor there. Training, merging and
 * export start from this.
 *
 * @param targets the adapted layers, in the base's order
 * @param tensors the method's tensors by the keys of the adapter's file, regenerated ones included
 * @param saved tensors that the adapter holds whole, by canonical name
 * @param savedNames what the adapter's keys call those, where it is not their canonical name
 * @param change what it changes in the base's config.json
 * @param baseDigests the {@link dev.adapt.formats.tensor.TensorDigest} of each target's weight, by canonical name of the
 *     module
 */
public record BoundAdapter(
        AdapterMethod method,
        List<Target> targets,
        SequencedMap<String, Tensor> tensors,
        Map<String, Tensor> saved,
        Map<String, String> savedNames,
        BaseChange change,
        Map<String, String> baseDigests)
        implements WeightChanges {
    public BoundAdapter {
        targets = List.copyOf(targets);
    }

    /**
     * A new adapter, before training.
     *
     * @param weight the base's tensor of a target, as it is stored; asked only by methods that start from it
     * @param saved the head's tensors by canonical name, as they begin
     * @param random where random starts draw from, target by target
     */
    public static BoundAdapter fresh(
            AdapterMethod method,
            List<Target> targets,
            Function<Target, ? extends Tensor> weight,
            Map<String, ? extends Tensor> saved,
            Optional<Head> head,
            Map<String, String> baseDigests,
            RandomGenerator random) {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, Tensor> regenerated = method.regenerate(targets);
        for (Target target : targets) {
            for (Part part : method.parts(target, targets)) {
                String key = key(part, target);
                if (part.initial() instanceof Initial.Regenerated) {
                    tensors.computeIfAbsent(key, absent -> require(regenerated, part.id(target)));
                } else if (part.initial() instanceof Initial.Derived(Initial.Derivation derivation)) {
                    tensors.put(
                            key,
                            derivation.of(
                                    name -> FloatTensor.of(require(tensors, key(method, target, targets, name))),
                                    target.upright(weight.apply(target))));
                } else {
                    tensors.computeIfAbsent(
                            key,
                            absent -> part.initial()
                                    .values(part.shape(), random, () -> target.upright(weight.apply(target))));
                }
            }
        }
        return new BoundAdapter(
                method, targets, tensors, new LinkedHashMap<>(saved), Map.of(), BaseChange.of(head), baseDigests);
    }

    /** ΔW of one layer, left [out, k] times right [k, in]. */
    public record Factors(FloatTensor left, FloatTensor right) {}

    /**
     * A plain LoRA adapter of factors that were computed.
     *
     * @param updates in the base's order
     * @param saved tensors it holds whole, by canonical name
     */
    public static BoundAdapter lora(
            SequencedMap<Target, Factors> updates,
            Map<String, Tensor> saved,
            Map<String, String> savedNames,
            BaseChange change,
            Map<String, String> baseDigests) {
        SequencedMap<String, Integer> ranks = new LinkedHashMap<>();
        updates.forEach((target, factors) ->
                ranks.put(target.module(), (int) factors.right().shape().dim(0)));
        Lora method = Lora.unscaled(ranks);
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        updates.forEach((target, factors) -> {
            for (Part part : method.parts(target, List.copyOf(updates.keySet()))) {
                FloatTensor factor = Lora.isLeft(part.name()) ? factors.left() : factors.right();
                if (!factor.shape().equals(part.shape())) {
                    throw new IllegalArgumentException(
                            target.module() + ": a factor " + factor.shape() + " in place of " + part.shape());
                }
                tensors.put(key(part, target), factor);
            }
        });
        return new BoundAdapter(method, List.copyOf(updates.keySet()), tensors, saved, savedNames, change, baseDigests);
    }

    /**
     * An adapter without its base, on layers as wide as its own file tells.
     *
     * @throws FormatException if the file does not tell a layer's widths, or its tensors do not fit each other
     */
    public static BoundAdapter alone(Adapter adapter) {
        if (!TargetParameters.of(adapter.config()).entries().isEmpty()) {
            throw new FormatException(
                    adapter.file(),
                    "adapts parameters, " + TargetParameters.FIELD
                            + " in its config, of which only the base tells what they are; give it with --base");
        }
        boolean transposed = adapter.config().document().says("fan_in_fan_out");
        List<Target> targets = new ArrayList<>();
        for (String module : adapter.modules()) {
            List<Target> layers = BaseRecord.layers(adapter, module);
            if (layers.isEmpty()) {
                throw new FormatException(
                        adapter.file(), "does not tell the widths of its layers; give its base with --base");
            }
            boolean embedding = adapter.isEmbedding(module);
            layers.forEach(layer -> targets.add(new Target(
                    layer.module(),
                    layer.module(),
                    layer.module(),
                    layer.out(),
                    layer.in(),
                    embedding ? new Storage.Embedding() : new Storage.Linear(transposed))));
        }
        StoredAdapter.requireDefined(adapter, targets);
        BaseChange change = BaseChange.of(Optional.empty());
        return StoredAdapter.bind(
                adapter,
                targets,
                adapter.saved(),
                Map.of(),
                change,
                Map.of(),
                Optional.empty(),
                Optional.empty(),
                true);
    }

    static String key(AdapterMethod method, Target target, List<Target> targets, String name) {
        return method.parts(target, targets).stream()
                .filter(part -> part.name().equals(name))
                .map(part -> key(part, target))
                .findFirst()
                .orElseThrow();
    }

    /** The key of a part in the adapter's file. */
    public static String key(Part part, Target target) {
        return switch (part.scope()) {
            case LAYER -> Adapter.MODULE_PREFIX + target.module() + "." + part.name();
            case STACK -> Adapter.MODULE_PREFIX + target.stack().name() + "." + part.name();
            case ALL -> Adapter.SHARED_PREFIX + part.fullName();
        };
    }

    /** Metadata of its file, telling of each layer what they tell of its stack. */
    public Map<String, String> baseByLayer(Map<String, String> metadata) {
        return BaseRecord.byLayer(metadata, targets, baseDigests);
    }

    static <V> V require(Map<String, V> map, String key) {
        V value = map.get(key);
        if (value == null) {
            throw new IllegalStateException("nothing under " + key);
        }
        return value;
    }

    /** The head it brings, if it brings one. */
    public Optional<Head> head() {
        return change.head();
    }

    /** The same adapter, which records how prompts were laid out in training. */
    public BoundAdapter with(PromptFormat prompt) {
        return new BoundAdapter(method, targets, tensors, saved, savedNames, change.with(prompt), baseDigests);
    }

    /** The same adapter, whose folder will say how a text becomes one vector. */
    public BoundAdapter withSentences(Path folder) {
        return new BoundAdapter(method, targets, tensors, saved, savedNames, change.withSentences(folder), baseDigests);
    }

    /** The keys of the tensors that training changes. */
    public List<String> trainedKeys() {
        return keys(Part::trained);
    }

    List<String> keys(Predicate<Part> which) {
        return parts(method, targets).entrySet().stream()
                .filter(part -> which.test(part.getValue()))
                .map(Map.Entry::getKey)
                .toList();
    }

    /** The tensors of an adapter by the keys of its file, those of several layers once. */
    static SequencedMap<String, Part> parts(AdapterMethod method, List<Target> targets) {
        SequencedMap<String, Part> parts = new LinkedHashMap<>();
        for (Target target : targets) {
            method.parts(target, targets).forEach(part -> parts.putIfAbsent(key(part, target), part));
        }
        return parts;
    }

    /** The number of trained elements of the method's tensors, without the head. */
    public long trainedParameters() {
        return elements(method, targets, Part::trained);
    }

    /** The elements of an adapter's tensors that are asked for. */
    static long elements(AdapterMethod method, List<Target> targets, Predicate<Part> which) {
        return parts(method, targets).values().stream()
                .filter(which)
                .mapToLong(part -> part.shape().elements())
                .sum();
    }

    @Override
    public String title() {
        return method.title();
    }

    @Override
    public int rank(Target target) {
        return method.rank(target);
    }

    @Override
    public boolean hasLowRankDelta(Target target) {
        return method.hasLowRankDelta(target);
    }

    @Override
    public boolean isAdditive() {
        return method.isAdditive();
    }

    @Override
    public Delta.Scope scope(Target target) {
        return method.scope(target);
    }

    @Override
    public boolean changesBias() {
        return method.changesBias();
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> tensor, Supplier<T> weight) {
        Map<String, String> keys = new LinkedHashMap<>();
        method.parts(target, targets).forEach(part -> keys.put(part.name(), key(part, target)));
        return method.change(ops, target, part -> tensor.apply(require(keys, part)), weight);
    }

    @Override
    public Map<String, Tensor> tensorsOf(Target target) {
        Map<String, Tensor> own = new LinkedHashMap<>();
        method.parts(target, targets).forEach(part -> own.put(key(part, target), require(tensors, key(part, target))));
        return own;
    }

    /**
     * The same adapter as training left it.
     *
     * @param leaves the trained tensors: the method's by their keys, saved ones by canonical name
     */
    public BoundAdapter trained(Map<String, FloatTensor> leaves) {
        Map<String, FloatTensor> parts = new LinkedHashMap<>(leaves);
        Map<String, FloatTensor> whole = new LinkedHashMap<>(leaves);
        parts.keySet().retainAll(tensors.keySet());
        whole.keySet().retainAll(saved.keySet());
        return with(parts, whole);
    }

    /** The same adapter with other targets, such as each expert's matrices in the place of a stack. */
    public BoundAdapter with(List<Target> others) {
        return new BoundAdapter(method, others, tensors, saved, savedNames, change, baseDigests);
    }

    /** The same adapter with other values, as training left them. */
    public BoundAdapter with(Map<String, ? extends Tensor> trained, Map<String, ? extends Tensor> trainedSaved) {
        SequencedMap<String, Tensor> changed = new LinkedHashMap<>(tensors);
        changed.putAll(trained);
        Map<String, Tensor> changedSaved = new LinkedHashMap<>(saved);
        changedSaved.putAll(trainedSaved);
        return new BoundAdapter(method, targets, changed, changedSaved, savedNames, change, baseDigests);
    }

    /**
     * Writes the adapter's two files in float32 into an existing folder, as PEFT lays them out. Each appears whole or not
     * at all.
     *
     * @param targetNames what the user asked to adapt, for {@code target_modules}
     * @param base for {@code base_model_name_or_path}
     */
    public void write(Path folder, List<String> targetNames, Path base) throws IOException {
        write(folder, targetNames, base, Dtype.F32);
    }

    /**
     * The same, each value rounded once to {@code dtype}.
     *
     * @throws IllegalArgumentException if {@code dtype} is none of F64, F32, F16 and BF16
     */
    public void write(Path folder, List<String> targetNames, Path base, Dtype dtype) throws IOException {
        new AdapterWriter(this).write(folder, targetNames, base, dtype);
    }
}
