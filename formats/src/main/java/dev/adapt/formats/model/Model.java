package dev.adapt.formats.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.binding.WeightChanges;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Quantization;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.KeyValueCache;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.Place;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.SequencedSet;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Function;

/**
 * A checkpoint, with or without an adapter beside it, ready to run on any interpreter. It is valid as long as its
 * checkpoint is open.
 *
 * <p>Its leaves are all the tensors that the graph can ask for: weights by canonical name (those that an adapter holds whole
 * in the place of the checkpoint's), and the tensors of its changes by their keys. The two kinds of names never meet.
 */
public final class Model {
    private final ModelConfig config;
    private final Architecture architecture;
    private final SequencedMap<String, Tensor> weights;
    private final Changes changes;

    /**
     * What a model computes beside its weights, and what of it is trained.
     *
     * @param changes of its weights; their tensors are leaves too
     * @param trainable the names of the leaves that training changes
     * @param sharedKeys weights that are a tensor of the changes: its key, by the weight's canonical name
     * @param dropout on the input of changes of low rank, while training
     */
    public record Changes(
            Optional<WeightChanges> changes,
            SequencedSet<String> trainable,
            Map<String, String> sharedKeys,
            double dropout) {
        /** Of a model that only runs: nothing. */
        static Changes none() {
            return new Changes(Optional.empty(), new LinkedHashSet<>(), Map.of(), 0);
        }

        static Changes of(BoundAdapter adapter) {
            SequencedSet<String> trainable = new LinkedHashSet<>(adapter.trainedKeys());
            trainable.addAll(adapter.saved().keySet());
            return new Changes(
                    Optional.of(adapter), trainable, Map.of(), adapter.method().dropout());
        }
    }

    private Model(ModelConfig config, Architecture architecture, Checkpoint base, Changes changes) {
        this(config, architecture, changes);
        TensorNames names = TensorNames.of(base);
        for (TensorView tensor : base.tensors().values()) {
            weights.put(names.canonical(tensor.name()), tensor);
        }
        addJoined(base, names);
        requireUnquantized(base, names);
        changes.changes().filter(own -> own.change().unties()).ifPresent(own -> untie(names));
        changes.changes().ifPresent(own -> weights.putAll(own.saved()));
        changes.changes().ifPresent(this::requireRead);
        requireTensors(base.path());
    }

    /** A change of a module that the graph does not read would be lost without a word. */
    private void requireRead(WeightChanges own) {
        own.targets().stream()
                .map(Target::canonical)
                .filter(module -> !architecture.reads(module))
                .findFirst()
                .ifPresent(module -> {
                    throw new FormatException(
                            config.document().path(),
                            module,
                            "is adapted, and the graph of " + config.modelType() + " has no such layer: it reads it in"
                                    + " parts or not at all; merge the adapter and use the merged checkpoint");
                });
    }

    /** Matrices that the graph has apart and the checkpoint in one tensor with others, such as the experts of a layer. */
    private void addJoined(Checkpoint base, TensorNames names) {
        architecture.requiredTensors().forEach((name, shape) -> {
            if (weights.containsKey(name) || !name.endsWith(".weight")) {
                return;
            }
            for (Place place : names.places(name.substring(0, name.length() - ".weight".length()))) {
                boolean fits = shape.equals(Shape.of(place.out(), place.in()));
                if (fits && place.storage() instanceof Storage.Expert expert && !expert.transposed()) {
                    TensorView whole = Objects.requireNonNull(base.tensors().get(place.tensor()));
                    weights.put(name, whole.part(name, expert.index() * shape.elements(), shape));
                }
            }
        });
    }

    /** Read as plain numbers, quantized weights would give a model that runs and is another. */
    private void requireUnquantized(Checkpoint base, TensorNames names) {
        Set<String> required = architecture.requiredTensors().keySet();
        Quantization.packed(base.tensors()).forEach((module, quantization) -> {
            if (required.contains(names.canonical(module) + ".weight")) {
                throw quantization.refusal(base.path(), module);
            }
        });
        for (TensorView tensor : base.tensors().values()) {
            if (required.contains(names.canonical(tensor.name()))) {
                Quantization.of(base.tensors(), tensor.name())
                        .filter(Quantization::scaled)
                        .ifPresent(quantization -> {
                            throw quantization.refusal(tensor.file(), tensor.name());
                        });
            }
        }
    }

    private Model(ModelConfig config, Architecture architecture, Changes changes) {
        this.config = config;
        this.architecture = architecture;
        this.weights = new LinkedHashMap<>();
        this.changes = changes;
    }

    /**
     * A plain model: a base, or what a merge wrote.
     *
     * @throws IOException if the checkpoint has no config.json
     * @throws FormatException if its architecture is not supported or a tensor is missing
     */
    public static Model of(Checkpoint base) throws IOException {
        ModelConfig config = ModelConfig.of(base);
        return new Model(config, Architectures.of(config), base, Changes.none());
    }

    /** A base with an adapter beside it, unmerged. */
    public static Model of(Checkpoint base, BoundAdapter adapter) throws IOException {
        ModelConfig config = ModelConfig.of(base);
        ModelConfig adapted = new ModelConfig(ChangedConfig.of(config.document(), adapter.change()));
        Architecture architecture = Architectures.of(adapted);
        BoundAdapter apart = adapter.with(new ExpertParts(architecture, TensorNames.of(base)).of(adapter.targets()));
        return new Model(adapted, architecture, base, Changes.of(apart));
    }

    /**
     * A model of tensors that no checkpoint holds.
     *
     * @param weights all of its weights by canonical name
     * @throws FormatException if its architecture is not supported, or a tensor is missing or has another shape
     */
    public static Model of(ModelConfig config, Map<String, Tensor> weights, Changes changes) {
        Model model = new Model(config, Architectures.of(config), changes);
        model.weights.putAll(weights);
        model.requireTensors(config.document().path().resolveSibling(""));
        return model;
    }

    /** The head that was the embedding table begins as a copy of it. */
    private void untie(TensorNames tied) {
        Tensor table = weights.get(tied.table().orElseThrow() + ".weight");
        if (table != null) {
            weights.put(tied.head().orElseThrow() + ".weight", table);
        }
    }

    private void requireTensors(Path source) {
        Map<String, Shape> required = architecture.requiredTensors();
        List<String> missing = new ArrayList<>(required.keySet());
        missing.removeIf(weights::containsKey);
        if (!missing.isEmpty()) {
            throw new FormatException(
                    source,
                    "lacks " + missing.size() + " tensors that its " + ModelConfig.FILE + " calls for, among them "
                            + String.join(", ", missing.subList(0, Math.min(3, missing.size()))));
        }
        required.forEach((name, shape) -> {
            Shape found = leaf(name).shape();
            if (!found.equals(shape)) {
                throw new FormatException(
                        source, name, "has shape " + found + ", its " + ModelConfig.FILE + " calls for " + shape);
            }
        });
    }

    /**
     * The same tensors under another config.
     *
     * @throws FormatException if that calls for tensors that are not there, or of another shape
     */
    public Model with(ModelConfig other) {
        Model changed = new Model(other, Architectures.of(other), changes);
        changed.weights.putAll(weights);
        changed.requireTensors(other.document().path());
        return changed;
    }

    /** The model without its head: transformers' bare class. The same where it has none. */
    public Model body() {
        return architecture.outputName().equals("last_hidden_state") ? this : with(config.withoutHead(architecture));
    }

    /** The canonical names of the checkpoint's tensors, and of those that the adapter holds whole. */
    public Set<String> weightNames() {
        return Set.copyOf(weights.keySet());
    }

    /** Its config, the adapter's head included. */
    public ModelConfig config() {
        return config;
    }

    /** Its architecture, the adapter's head included. */
    public Architecture architecture() {
        return architecture;
    }

    /** Whether changes of its weights are computed beside them. */
    public boolean isUnmerged() {
        return changes.changes().isPresent();
    }

    /** A leaf by name. */
    public Tensor leaf(String name) {
        Tensor weight = weights.get(name);
        if (weight != null) {
            return weight;
        }
        return changes.changes()
                .map(own -> own.tensors().get(name))
                .orElseThrow(() -> new IllegalArgumentException("the model has no tensor " + name));
    }

    /** The names of the leaves that training changes. */
    public Set<String> trainable() {
        return Collections.unmodifiableSet(changes.trainable());
    }

    /**
     * Runs the model.
     *
     * @param leaf the interpreter's form of a leaf, by name; asked for those the graph needs, some more than once
     * @param inputs by the names the architecture gives them
     * @return what {@link Architecture#forward} returns
     */
    public <T> T forward(Ops<T> ops, Function<String, T> leaf, Map<String, T> inputs) {
        return forward(ops, leaf, inputs, Optional.empty());
    }

    /**
     * The names of all outputs that {@link #outputs} can compute: the architecture's own first, then the pooled state where
     * the checkpoint has a pooler, and a decoder's keys and values of all tokens.
     */
    public List<String> outputNames() {
        List<String> names = new ArrayList<>(architecture.outputs().keySet());
        Map<String, Shape> pooler = architecture.pooler();
        if (!pooler.isEmpty() && pooler.entrySet().stream().allMatch(own -> isWeight(own.getKey(), own.getValue()))) {
            names.add(Architecture.POOLED);
        }
        architecture.cache().ifPresent(keys -> keys.names().forEach(name -> names.add(CacheSpec.PRESENT + name)));
        return names;
    }

    private boolean isWeight(String name, Shape shape) {
        Tensor weight = weights.get(name);
        return weight != null && weight.shape().equals(shape);
    }

    /**
     * Runs the model from the start of its sequences.
     *
     * @param wanted some of {@link #outputNames}
     * @return those outputs by name
     */
    public <T> SequencedMap<String, T> outputs(
            Ops<T> ops, Function<String, T> leaf, Map<String, T> inputs, Set<String> wanted) {
        return outputs(ops, leaf, inputs, wanted, (module, output) -> {});
    }

    /**
     * The same, watched.
     *
     * @param seen takes what each linear layer gives, by the layer's canonical name, in the order they are computed
     */
    public <T> SequencedMap<String, T> outputs(
            Ops<T> ops,
            Function<String, T> leaf,
            Map<String, T> inputs,
            Set<String> wanted,
            BiConsumer<String, T> seen) {
        boolean keys = wanted.stream().anyMatch(name -> name.startsWith(CacheSpec.PRESENT));
        Optional<KeyValueCache<T>> cache = keys ? Optional.of(new KeyValueCache<>(Map.of())) : Optional.empty();
        Layers<T> layers = layers(ops, leaf, cache, seen);
        SequencedMap<String, T> outputs = architecture.outputs(layers, inputs);
        if (wanted.contains(Architecture.POOLED)) {
            T states = outputs.firstEntry().getValue();
            outputs.put(Architecture.POOLED, architecture.pooled(layers, states));
        }
        cache.ifPresent(own -> own.present().forEach((name, value) -> outputs.put(CacheSpec.PRESENT + name, value)));
        outputs.keySet().retainAll(wanted);
        return outputs;
    }

    /**
     * Runs the model, with all outputs of its architecture by name.
     *
     * @param cache a decoder's keys and values of earlier tokens, and where those of all tokens go
     */
    public <T> SequencedMap<String, T> outputs(
            Ops<T> ops, Function<String, T> leaf, Map<String, T> inputs, Optional<KeyValueCache<T>> cache) {
        return architecture.outputs(layers(ops, leaf, cache, (module, output) -> {}), inputs);
    }

    /**
     * Runs the model.
     *
     * @param cache a decoder's keys and values of earlier tokens, and where those of all tokens go
     */
    public <T> T forward(
            Ops<T> ops, Function<String, T> leaf, Map<String, T> inputs, Optional<KeyValueCache<T>> cache) {
        return architecture.forward(layers(ops, leaf, cache, (module, output) -> {}), inputs);
    }

    /** The forward pass from the start of its sequences, as {@link Architecture#unfinished} leaves it. */
    public <T> Unfinished<T> unfinished(Ops<T> ops, Function<String, T> leaf, Map<String, T> inputs) {
        return architecture.unfinished(layers(ops, leaf, Optional.empty(), (module, output) -> {}), inputs);
    }

    private <T> Layers<T> layers(
            Ops<T> ops, Function<String, T> leaf, Optional<KeyValueCache<T>> cache, BiConsumer<String, T> seen) {
        Map<String, Layers.Adapted<T>> adapted =
                changes.changes().map(own -> own.changes(ops, leaf)).orElse(Map.of());
        // layers that share a weight ask for one leaf: a gradient is then the sum of theirs, and a graph holds it once
        Function<String, T> weight = name -> leaf.apply(changes.sharedKeys().getOrDefault(name, name));
        return new Layers<>(ops, weight, weights::containsKey, adapted, changes.dropout(), cache, seen);
    }
}
