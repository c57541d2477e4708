package dev.adapt.formats.adapter;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import dev.adapt.formats.tensor.ValueCount;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

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
    /** What metadata keys begin with that record the digest of a target or stack, before its canonical name. */
    public static final String BASE_SHA256 = "adapt.base.sha256.";
    /** What metadata keys begin with that record the shape of a target or stack, before its module's name. */
    public static final String BASE_SHAPE = "adapt.base.shape.";
    /** What metadata keys begin with that record the digest of a regenerated part, before its name. */
    public static final String PART_SHA256 = "adapt.sha256.";

    /** Elements of a tensor that is drawn from a seed: 8 GiB. */
    private static final long MOST_REGENERATED = 1L << 31;

    /** Names that a message lists. */
    private static final int MOST_NAMED = 4;

    private static final String POOLING = "adapt.head.pooling";
    private static final String LABELS = "adapt.head.labels";

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

    /**
     * A layer of the base.
     *
     * @param weight [out, in]
     * @param bias [out], where it has one
     */
    public record BaseLayer(FloatTensor weight, Optional<FloatTensor> bias) {}

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
     * An adapter from a file, on its base.
     *
     * @param targets the layers of its modules
     * @param saved its saved tensors by canonical name
     * @param savedNames what its keys call those
     * @param baseDigests of the base at hand
     * @param base the layer of a target as the base has it, where there is a base
     * @param baseDtype of the base's targets, where there is a base
     * @param force whether to go on with another base than the adapter was trained on
     * @throws FormatException if a tensor is missing, has another shape than its layer needs, or the base or a regenerated
     *     tensor is not what the adapter was trained with
     */
    public static BoundAdapter of(
            Adapter adapter,
            List<Target> targets,
            Map<String, Tensor> saved,
            Map<String, String> savedNames,
            BaseChange change,
            Map<String, String> baseDigests,
            Optional<Function<Target, BaseLayer>> base,
            Optional<Dtype> baseDtype,
            boolean force) {
        if (!force) {
            BaseRecord.check(adapter, targets, baseDigests);
        }
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, Tensor> regenerated = new TreeMap<>();
        for (Target target : targets) {
            for (Part part : adapter.method().parts(target, targets)) {
                String key = key(part, target);
                if (tensors.containsKey(key)) {
                    continue;
                }
                Tensor found = adapter.parts().get(key);
                if (found == null && part.initial() instanceof Initial.Regenerated && !part.stored()) {
                    if (part.shape().elements() > MOST_REGENERATED) {
                        throw new FormatException(
                                adapter.file(),
                                part.name(),
                                "is not stored, and regenerated would have shape " + part.shape() + ", more than "
                                        + MOST_REGENERATED + " elements; correct r in " + AdapterConfig.FILE);
                    }
                    if (regenerated.isEmpty()) {
                        regenerated.putAll(regenerate(adapter, targets, baseDtype));
                    }
                    found = require(regenerated, part.id(target));
                } else if (part.initial() instanceof Initial.OfBase initial) {
                    found = ofBase(
                            adapter,
                            target,
                            initial,
                            base,
                            name -> require(tensors, key(adapter.method(), target, targets, name)));
                }
                Tensor sound = checked(adapter, key, found, part.shape());
                requireIntegers(adapter, key, sound, adapter.method().integerLimits(part.name(), target));
                tensors.put(key, sound);
            }
        }
        Set<String> unused = new LinkedHashSet<>(adapter.parts().keySet());
        unused.removeAll(tensors.keySet());
        if (!unused.isEmpty()) {
            throw new FormatException(
                    adapter.file(),
                    "holds " + unused.size() + " tensors that no adapted module uses: "
                            + unused.stream().limit(MOST_NAMED).collect(Collectors.joining(", "))
                            + (unused.size() > MOST_NAMED ? ", …" : ""));
        }
        BaseChange whole = headOf(adapter).map(change::with).orElse(change);
        return new BoundAdapter(adapter.method(), targets, tensors, saved, savedNames, whole, baseDigests);
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
        requireDefined(adapter, targets);
        BaseChange change = BaseChange.of(Optional.empty());
        return of(
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

    private static FloatTensor ofBase(
            Adapter adapter,
            Target target,
            Initial.OfBase initial,
            Optional<Function<Target, BaseLayer>> base,
            Function<String, Tensor> part) {
        BaseLayer layer = base.orElseThrow(() -> new FormatException(
                        adapter.file(),
                        "holds a " + adapter.method().title() + " adapter, whose updates follow from the base too;"
                                + " give its base"))
                .apply(target);
        return initial.derivation()
                .of(part, layer.weight(), layer.bias())
                .orElseThrow(() -> new FormatException(adapter.file(), target.module(), initial.otherwise()));
    }

    /**
     * Makes sure that an adapter's method is defined on its layers, before anything is asked of the method there.
     *
     * @throws FormatException naming the first layer on which it is not
     */
    public static void requireDefined(Adapter adapter, List<Target> targets) {
        for (Target target : targets) {
            adapter.method().undefined(target).ifPresent(reason -> {
                throw new FormatException(adapter.file(), target.module(), reason);
            });
        }
    }

    private static void requireIntegers(Adapter adapter, String key, Tensor integers, List<Integer> limits) {
        if (limits.isEmpty()) {
            return;
        }
        float[] values = integers.toFloats();
        int row = values.length / limits.size();
        for (int i = 0; i < values.length; i++) {
            int limit = limits.get(i / row);
            if (!(values[i] >= 0 && values[i] < limit)) {
                throw new FormatException(
                        adapter.file(),
                        key,
                        "expected integers from 0 to " + (limit - 1) + ", found " + (long) values[i]
                                + "; get the adapter again");
            }
        }
    }

    private static Tensor checked(Adapter adapter, String key, @Nullable Tensor found, Shape expected) {
        if (found == null) {
            throw new FormatException(adapter.file(), key, "is missing, expected a tensor of shape " + expected);
        }
        if (!found.shape().equals(expected)) {
            throw new FormatException(
                    adapter.file(), key, "has shape " + found.shape() + ", its layer in the base needs " + expected);
        }
        return found;
    }

    private static Map<String, Tensor> regenerate(Adapter adapter, List<Target> targets, Optional<Dtype> baseDtype) {
        Map<String, Long> elements = new LinkedHashMap<>();
        for (Target target : targets) {
            for (Part part : adapter.method().parts(target, targets)) {
                if (part.initial() instanceof Initial.Regenerated) {
                    elements.put(part.id(target), part.shape().elements());
                }
            }
        }
        long all = elements.values().stream().mapToLong(Long::longValue).sum();
        if (all > MOST_REGENERATED) {
            throw new FormatException(
                    adapter.file(),
                    "needs " + all + " elements that are drawn from a seed, more than " + MOST_REGENERATED
                            + "; correct r in " + AdapterConfig.FILE);
        }
        Map<String, Tensor> regenerated = new LinkedHashMap<>(adapter.method().regenerate(targets));
        boolean foreign = adapter.metadata().keySet().stream().noneMatch(key -> key.startsWith(PART_SHA256));
        if (foreign && adapter.method().castsRegenerated()) {
            baseDtype
                    .filter(dtype -> dtype == Dtype.BF16 || dtype == Dtype.F16)
                    .ifPresent(dtype -> regenerated.replaceAll((name, tensor) -> rounded(tensor, dtype)));
        }
        regenerated.forEach((name, tensor) -> {
            String trained = adapter.metadata().get(PART_SHA256 + name);
            String drawn = trained == null ? "" : TensorDigest.ofFloats(tensor);
            if (trained != null && !trained.equals(drawn)) {
                throw new FormatException(
                        adapter.file(),
                        name,
                        "regenerated has SHA-256 " + BaseRecord.brief(drawn) + ", the adapter was trained with "
                                + BaseRecord.brief(trained)
                                + "; try the other --projection-rounding, or get the adapter with its projection saved");
            }
        });
        return regenerated;
    }

    private static FloatTensor rounded(Tensor tensor, Dtype dtype) {
        float[] values = tensor.toFloats().clone();
        for (int i = 0; i < values.length; i++) {
            values[i] = dtype == Dtype.BF16
                    ? FloatFormat.fromBfloat16(FloatFormat.toBfloat16(values[i]))
                    : Float.float16ToFloat(Float.floatToFloat16(values[i]));
        }
        return new FloatTensor(tensor.shape(), values);
    }

    private static Optional<Head> headOf(Adapter adapter) {
        String pooling = adapter.metadata().get(POOLING);
        String labels = adapter.metadata().get(LABELS);
        if (pooling == null || labels == null) {
            return Optional.empty();
        }
        try {
            return Optional.of(new Head(
                    Pooling.named(pooling)
                            .orElseThrow(() -> new FormatException(
                                    adapter.file(),
                                    POOLING,
                                    "is \"" + pooling + "\", expected mean, cls, pooler, last, max or tokens")),
                    List.of(new JsonMapper().readValue(labels, String[].class))));
        } catch (JsonProcessingException e) {
            throw new FormatException(adapter.file(), LABELS, "is not a JSON list of strings");
        }
    }

    private static String key(AdapterMethod method, Target target, List<Target> targets, String name) {
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

    private static <V> V require(Map<String, V> map, String key) {
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

    private List<String> keys(Predicate<Part> which) {
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
        Map<String, FloatTensor> stored = new LinkedHashMap<>();
        keys(Part::stored).forEach(key -> stored.put(key, FloatTensor.of(require(tensors, key))));
        saved.forEach((name, tensor) -> stored.put(savedKey(name), FloatTensor.of(tensor)));
        ValueCount.requireFiniteResults(folder.resolve(Adapter.FILE), stored);
        Set<String> integers = Set.copyOf(keys(part -> method.isInteger(part.name())));
        SafetensorsWriter.write(
                folder.resolve(Adapter.FILE), stored, key -> integers.contains(key) ? Dtype.I32 : dtype, metadata());
        JsonDocument config = config(folder.resolve(AdapterConfig.FILE), targetNames, base);
        try (OutputFile pending = Outputs.replacing().file(config.path())) {
            pending.text(config.text());
            pending.commit();
        }
    }

    private Map<String, String> metadata() {
        Map<String, String> metadata = new TreeMap<>();
        metadata.put("format", "pt");
        metadata.putAll(method.metadata());
        metadata.putAll(BaseRecord.of(method, targets, baseDigests));
        Set<String> digested = new LinkedHashSet<>();
        for (Target target : targets) {
            for (Part part : method.parts(target, targets)) {
                if (part.initial() instanceof Initial.Regenerated && digested.add(part.id(target))) {
                    metadata.put(
                            PART_SHA256 + part.id(target), TensorDigest.ofFloats(require(tensors, key(part, target))));
                }
            }
        }
        head().ifPresent(own -> {
            metadata.put(POOLING, own.pooling().name().toLowerCase(Locale.ROOT));
            metadata.put(LABELS, new JsonMapper().valueToTree(own.labels()).toString());
        });
        change.prompt().ifPresent(own -> metadata.put(PromptFormat.METADATA, own.key()));
        return metadata;
    }

    /**
     * The key of a saved tensor in the adapter's file: PEFT wraps the layers it adapts, and the bias of such a layer is the
     * layer's beneath.
     */
    public String savedKey(String canonical) {
        String name = savedNames.getOrDefault(canonical, canonical);
        String module = moduleOf(name);
        boolean wrapped = targets.stream().anyMatch(target -> target.module().equals(module));
        return Adapter.MODULE_PREFIX
                + (wrapped ? module + Adapter.BASE_LAYER + name.substring(module.length() + 1) : name);
    }

    private static String moduleOf(String tensor) {
        return tensor.substring(0, Math.max(0, tensor.lastIndexOf('.')));
    }

    /**
     * The config with all fields that PEFT 0.21 writes, in its alphabetical order, but for {@code peft_version}: PEFT did not
     * write it.
     */
    private JsonDocument config(Path path, List<String> targetNames, Path base) {
        ObjectNode json = new JsonMapper().createObjectNode();
        json.putNull("auto_mapping");
        json.put("base_model_name_or_path", base.toString());
        json.put("fan_in_fan_out", targets.stream().anyMatch(target -> target.transposed() && !target.embedding()));
        json.put("inference_mode", true);
        json.putNull("layers_pattern");
        json.putNull("layers_to_transform");
        json.put("peft_type", method.peftType());
        json.putNull("revision");
        json.putNull("task_type");
        ArrayNode names = json.putArray("target_modules");
        targetNames.forEach(names::add);
        method.describe(json);
        describeSaved(json);
        ObjectNode sorted = new JsonMapper().createObjectNode();
        new TreeMap<>(json.properties().stream().collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue)))
                .forEach(sorted::set);
        return new JsonDocument(path, sorted);
    }

    /** Biases without their weights are a trained bias's; whatever else is held whole is a saved module's. */
    private void describeSaved(ObjectNode json) {
        Set<String> adapted = targets.stream().map(Target::module).collect(Collectors.toSet());
        Set<String> modules = new LinkedHashSet<>();
        boolean biases = false;
        for (String canonical : saved.keySet()) {
            String name = savedNames.getOrDefault(canonical, canonical);
            String module = moduleOf(name);
            boolean weighted = saved.containsKey(moduleOf(canonical) + ".weight");
            String first = name.substring(0, Math.max(0, name.indexOf('.')));
            boolean ofHead = first.equals(Head.MODULE) || first.equals(Head.SCORE);
            if (name.endsWith(".bias") && !weighted && !ofHead) {
                biases = true;
            } else if (!adapted.contains(module)) {
                modules.add(ofHead ? first : module);
            }
        }
        json.put("bias", biases ? "all" : "none");
        if (modules.isEmpty()) {
            json.putNull("modules_to_save");
        } else {
            modules.forEach(json.putArray("modules_to_save")::add);
        }
    }
}
