package dev.adapt.formats.onnx.export;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;

/**
 * The inputs of a graph that adapters fill, so that one session serves many: of each layer the factors R [rank, in] and
 * L [out, rank] of {@code ΔW = L·R}, and of each module that adapters hold whole its tensors.
 *
 * <p>They are optional: the graph has values for all of them, a LoRA adapter of rank 0 and the base's own tensors, and so
 * computes the base where no adapter is active. The rank is an axis of any size, in each layer its own; the scale is part
 * of L, so that the graph needs none. Their names are the keys PEFT gives to LoRA on the canonical module names.
 */
public final class AdapterInputs {
    private static final String RIGHT = "lora_A.weight";
    private static final String LEFT = "lora_B.weight";
    static final String LABELS = "labels";

    private AdapterInputs() {}

    /**
     * A base with the inputs that these adapters, and adapters of these layers, need.
     *
     * @throws FormatException if an adapter holds a tensor whole that the base lacks or has in another shape; a head's
     *     labels may differ, and the head itself may be missing: without an adapter the graph then gives no logits
     * @throws UsageException if heads pool in different ways, which one graph cannot, or an adapter is no product of low
     *     rank
     */
    public static Model model(Checkpoint base, List<BoundAdapter> adapters, List<Target> layers) throws IOException {
        SequencedMap<String, Target> targets = new LinkedHashMap<>();
        SequencedMap<String, FloatTensor> saved = new LinkedHashMap<>();
        Architecture architecture = Architectures.of(ModelConfig.of(base));
        List<Head> heads = new ArrayList<>();
        architecture.head().ifPresent(heads::add);
        for (BoundAdapter adapter : adapters) {
            requireLowRank(adapter);
            adapter.targets().forEach(target -> targets.putIfAbsent(target.canonical(), canonical(target)));
            Map<String, Shape> unlabelled = unlabelled(architecture, adapter.head());
            adapter.saved().forEach((name, tensor) -> saved.put(name, own(base, unlabelled, name, tensor.shape())));
            adapter.head().ifPresent(heads::add);
        }
        layers.forEach(target -> targets.putIfAbsent(target.canonical(), canonical(target)));
        if (heads.stream().map(Head::pooling).distinct().count() > 1) {
            throw new UsageException(
                    "adapter-inputs",
                    "the heads pool in different ways ("
                            + heads.getFirst().pooling() + " and "
                            + heads.getLast().pooling()
                            + "), which one graph cannot; export a graph for each");
        }
        return Model.of(
                base,
                empty(new Binding(base), targets, saved, architecture.head().or(() -> unlabelled(heads))));
    }

    /** The head of a base that has none. */
    private static Optional<Head> unlabelled(List<Head> heads) {
        return heads.stream().findFirst().map(head -> new Head(head.pooling(), List.of()));
    }

    private static BoundAdapter empty(
            Binding base, SequencedMap<String, Target> targets, Map<String, FloatTensor> saved, Optional<Head> head) {
        // rank 1 and alpha 1: no scale
        BoundAdapter adapter = BoundAdapter.fresh(
                new Lora(1, 1, 0),
                List.copyOf(targets.values()),
                target -> base.find(target.canonical() + ".weight").orElseThrow(),
                saved,
                head,
                Map.of(),
                new Random(0));
        Map<String, FloatTensor> factors = new LinkedHashMap<>();
        targets.values().forEach(target -> {
            factors.put(right(target.canonical()), new FloatTensor(Shape.of(0, target.in()), new float[0]));
            factors.put(left(target.canonical()), new FloatTensor(Shape.of(target.out(), 0), new float[0]));
        });
        return adapter.with(factors, Map.of());
    }

    /** Refuses methods that change a weight by more than a product of low rank. */
    static void requireLowRank(BoundAdapter adapter) {
        if (adapter.targets().stream().anyMatch(Target::embedding)) {
            throw new UsageException(
                    "adapter-inputs",
                    "the adapter adapts an embedding, and only linear layers have inputs; merge the"
                            + " adapter instead");
        }
        if (!adapter.method().isLowRank()) {
            throw new UsageException("a " + adapter.method().title()
                    + " adapter fits no adapter inputs: it changes weights by more than a product of low rank; merge the"
                    + " adapter instead");
        }
    }

    private static Target canonical(Target target) {
        return new Target(
                target.canonical(),
                target.canonical(),
                target.tensor(),
                target.out(),
                target.in(),
                target.storage(),
                target.biased());
    }

    /** The shapes of a head like another, with no labels. */
    private static Map<String, Shape> unlabelled(Architecture architecture, Optional<Head> like) {
        return architecture.headTensors(
                new Head(like.map(Head::pooling).orElseGet(architecture::ownPooling), List.of()));
    }

    /** The base's values of a tensor that an adapter holds; of a head that the base lacks, one of no labels. */
    private static FloatTensor own(Checkpoint base, Map<String, Shape> unlabelled, String name, Shape held) {
        Optional<TensorView> found = new Binding(base).find(name);
        if (found.isEmpty() && unlabelled.containsKey(name)) {
            Shape shape = unlabelled.get(name);
            return new FloatTensor(shape, new float[Math.toIntExact(shape.elements())]);
        }
        TensorView tensor = found.orElseThrow(() -> new FormatException(
                base.path(),
                name,
                "is missing, but the adapter brings it: without an adapter the graph could not run; merge the adapter"
                        + " instead"));
        boolean labelled = unlabelled.containsKey(name) && unlabelled.get(name).dim(0) == 0;
        List<Long> fixed =
                tensor.shape().dims().subList(labelled ? 1 : 0, tensor.shape().rank());
        if (!held.dims()
                .subList(Math.min(labelled ? 1 : 0, held.rank()), held.rank())
                .equals(fixed)) {
            throw new FormatException(
                    tensor.file(),
                    name,
                    "has shape " + tensor.shape() + ", the adapter brings " + held
                            + ", which one graph cannot both take; merge the adapter instead");
        }
        return new FloatTensor(tensor.shape(), tensor.toFloats());
    }

    /**
     * The inputs of a model of {@link #model} by name, each with its axes: named ones are of any size.
     */
    static Map<String, List<String>> axes(Model model) {
        Map<String, Shape> unlabelled =
                unlabelled(model.architecture(), model.architecture().head());
        Map<String, List<String>> inputs = new LinkedHashMap<>();
        for (String name : model.trainable()) {
            List<String> axes = new ArrayList<>(model.leaf(name).shape().dims().stream()
                    .map(String::valueOf)
                    .toList());
            if (name.startsWith(Adapter.MODULE_PREFIX)) {
                boolean right = name.endsWith(RIGHT);
                int end = name.length() - (right ? RIGHT : LEFT).length();
                // a name of its own in each layer: ranks may differ, and ONNX Runtime takes axes of one name for equal
                axes.set(right ? 0 : 1, name.substring(Adapter.MODULE_PREFIX.length(), end) + "rank");
            } else if (unlabelled.containsKey(name) && unlabelled.get(name).dim(0) == 0) {
                axes.set(0, LABELS);
            }
            inputs.put(name, axes);
        }
        return inputs;
    }

    /** The name of R's input, of a layer's canonical name. */
    static String right(String module) {
        return Adapter.MODULE_PREFIX + module + "." + RIGHT;
    }

    /** The name of L's input, of a layer's canonical name. */
    static String left(String module) {
        return Adapter.MODULE_PREFIX + module + "." + LEFT;
    }
}
