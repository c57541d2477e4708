package dev.adapt.formats.binding;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Quantization;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Stack;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.TargetModules;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.names.LayerOrder;
import dev.adapt.formats.names.Place;
import dev.adapt.formats.names.Spelling;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.saved.SavedTensors;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.SequencedSet;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Finds the layers that an adapter, or a user, names in a base of any architecture. */
public final class Binding {
    /** A name with numbers for a stack's layer, whichever. */
    private static final String ANY_LAYER = "0.0.0.0";

    private static final String WEIGHT = ".weight";
    private static final String BIAS = ".bias";

    private final Checkpoint base;
    private final TensorNames names;

    /** Of the base's tensors, by name: many adapters may be bound to one base. */
    private final Map<String, String> digests = new ConcurrentHashMap<>();

    /** A binding by the names that the base has, with a config.json or without. */
    public Binding(Checkpoint base) {
        this.base = base;
        this.names = TensorNames.of(base);
    }

    /** The base's names. */
    public TensorNames names() {
        return names;
    }

    /**
     * An adapter on the base.
     *
     * @param stored as its folder holds it
     * @param force whether to go on with another base than the adapter was trained on
     * @throws FormatException if a module of the adapter is not in the base, or one that its config names is not in the
     *     adapter, a shape does not fit, the base is quantized there, or the adapter was trained on another base
     */
    public BoundAdapter bind(Adapter stored, boolean force) {
        Adapter whole = stored.of(layers(stored));
        WrappedParameters wrapped = WrappedParameters.of(whole, names);
        Spelling spelling = spelling(whole, wrapped);
        requireModules(whole, wrapped.then(spelling));
        requireParameters(whole, wrapped, spelling);
        SavedTensors saved = SavedTensors.of(whole, base, names, spelling);
        Adapter adapter = whole.without(saved.following()).recording(spelling);
        List<Target> targets = ordered(adapter, new Layers(adapter, wrapped, spelling, saved).targets());
        StoredAdapter.requireDefined(adapter, targets);
        requireOwnWeight(adapter, targets, saved);
        requireOneShape(adapter.method(), targets);
        // digests cost a pass over the targets' bytes: only where there is something to compare them with
        Map<String, String> digests = adapter.recordsBase() && !force ? digests(targets) : Map.of();
        Optional<Dtype> dtype =
                targets.stream().findFirst().map(target -> weight(target).dtype());
        return StoredAdapter.bind(
                adapter,
                targets,
                saved.tensors(),
                saved.names(),
                saved.change(),
                digests,
                Optional.of(this::baseLayer),
                dtype,
                force);
    }

    /** What PEFT takes from the weight of a tied head when training begins, it takes from the embedding table too. */
    private void requireOwnWeight(Adapter adapter, List<Target> targets, SavedTensors saved) {
        targets.stream()
                .filter(target -> names.isTied()
                        && names.head().filter(target.canonical()::equals).isPresent()
                        && saved.shape(target.canonical() + WEIGHT).isEmpty()
                        && adapter.method().reducesBase(target))
                .findFirst()
                .ifPresent(target -> {
                    throw new FormatException(
                            adapter.file(),
                            target.module(),
                            "is tied to the embedding table, which "
                                    + adapter.method().title()
                                    + " changed with it when training began; save the adapter with the layer beneath"
                                    + " (PEFT's save_embedding_layers=True), or without this module");
                });
    }

    private StoredAdapter.BaseLayer baseLayer(Target target) {
        return new StoredAdapter.BaseLayer(
                target.upright(weight(target)), find(target.canonical() + BIAS).map(FloatTensor::of));
    }

    /** The layers in the model's order, where the method numbers them. */
    private List<Target> ordered(Adapter adapter, List<Target> targets) {
        if (!adapter.method().numbersLayers()) {
            return targets;
        }
        record Placed(Target target, long place) {}
        return targets.stream()
                .map(target -> new Placed(
                        target,
                        LayerOrder.place(names, target.canonical())
                                .orElseThrow(() -> new FormatException(
                                        adapter.file(),
                                        target.module(),
                                        "cannot be numbered: "
                                                + adapter.method().title() + " numbers the layers of a"
                                                + " model in their order, which adapt does not know for this base"))))
                .sorted(Comparator.comparingLong(Placed::place))
                .map(Placed::target)
                .toList();
    }

    /** How the adapter spells the base's names; as the base's family does where nothing else places all of its modules. */
    private Spelling spelling(Adapter adapter, WrappedParameters wrapped) {
        Map<String, String> modules = new LinkedHashMap<>();
        adapter.modules().forEach(module -> modules.put(wrapped.module(module), module));
        return Spelling.of(
                        names,
                        modules.keySet(),
                        (name, canonical) -> fits(adapter, Objects.requireNonNull(modules.get(name)), canonical))
                .orElseGet(() -> Spelling.usual(names));
    }

    private boolean fits(Adapter adapter, String module, String canonical) {
        Optional<Shape> layer = adapter.layerShape(module);
        Optional<Place> place = names.places(canonical).stream().findFirst();
        return layer.isEmpty() || place.isEmpty() || hasDims(layer.get(), place.get());
    }

    private static boolean hasDims(Shape layer, Place place) {
        Shape upright = place.module();
        return layer.equals(upright)
                || layer.equals(Shape.of(upright.dim(1), upright.dim(0)))
                || layer.equals(place.shape());
    }

    /** The adapted modules; of a stack's name, the layers that the base has and the config names, in the base's order. */
    private SequencedSet<String> layers(Adapter adapter) {
        SequencedSet<String> layers = new LinkedHashSet<>();
        if (adapter.method().namesNoLayers() && adapter.modules().isEmpty()) {
            TargetModules configured = adapter.config().targetModules();
            matrixModules().forEach((actual, canonical) -> {
                // PEFT matched the names of the class it trained, which may have a prefix that the checkpoint lacks
                if (Stream.of(actual, canonical, names.withHead(canonical)).anyMatch(configured::claims)) {
                    layers.add(canonical);
                }
            });
            return layers;
        }
        Map<Stack, Stack> stacks = new LinkedHashMap<>();
        for (String module : adapter.modules()) {
            Stack own = new Stack(module);
            if (own.isNumbered()) {
                stacks.put(Stack.of(names.canonical(own.layer(ANY_LAYER))), own);
            } else {
                layers.add(module);
            }
        }
        Set<Stack> found = new LinkedHashSet<>();
        for (String module : stacks.isEmpty()
                ? List.<String>of()
                : List.copyOf(matrixModules().values())) {
            Stack own = stacks.get(Stack.of(module));
            if (own != null && adapter.config().targetModules().claims(own.layer(module))) {
                layers.add(own.layer(module));
                found.add(own);
            }
        }
        stacks.values().stream()
                .filter(own -> !found.contains(own))
                .map(Stack::name)
                .forEach(layers::add);
        return layers;
    }

    /**
     * Makes sure that layers which share an adapter's tensors have one shape.
     *
     * @throws FormatException naming those that differ
     */
    public void requireOneShape(AdapterMethod method, List<Target> targets) {
        Stack.of(targets).values().stream()
                .filter(layers -> method.parts(layers.getFirst(), layers).stream()
                        .anyMatch(part -> part.scope() == Part.Scope.STACK))
                .forEach(layers -> requireOneShape(method.peftType(), layers));
    }

    /**
     * Makes sure that the layers of each stack have one shape, for a method that shares tensors among them.
     *
     * @throws FormatException naming those that differ
     */
    public void requireOneShape(String method, List<Target> targets) {
        Stack.of(targets).forEach((stack, layers) -> {
            Target first = layers.getFirst();
            List<String> others = layers.stream()
                    .filter(layer -> layer.out() != first.out() || layer.in() != first.in())
                    .map(layer -> layer.tensor() + " " + Shape.of(layer.out(), layer.in()))
                    .toList();
            if (!others.isEmpty()) {
                throw new FormatException(
                        base.path(),
                        first.tensor(),
                        "has shape " + Shape.of(first.out(), first.in()) + " and other layers of " + stack.name()
                                + " differ: " + some(others) + "; " + method
                                + " shares its matrices among them, so adapt only layers of one shape");
            }
        });
    }

    private void requireModules(Adapter adapter, UnaryOperator<String> spelling) {
        adapter.modules().forEach(module -> requireFloats(spelling.apply(module)));
        List<String> unknown = adapter.modules().stream()
                .filter(module -> names.places(spelling.apply(module)).isEmpty())
                .toList();
        if (!unknown.isEmpty()) {
            requireUnpacked(unknown.stream().map(spelling).collect(Collectors.toSet()));
            throw new FormatException(
                    adapter.file(),
                    unknown.size() + " of its " + adapter.modules().size() + " modules are not in " + base.path() + ": "
                            + some(unknown) + "; " + base.path() + " has modules such as "
                            + some(alike(unknown.getFirst())) + "; give the base it was trained on");
        }
        List<String> missing = new Claims(adapter, body(adapter, spelling), spelling).missing();
        if (!missing.isEmpty()) {
            throw new FormatException(
                    adapter.file(),
                    "lacks " + missing.size() + " modules of the base that its config names in target_modules: "
                            + some(missing) + "; get the whole adapter, or name only what it holds");
        }
    }

    /** What an adapter adapts of one layer's experts it must have of all layers that its config names. */
    private void requireParameters(Adapter adapter, WrappedParameters wrapped, Spelling spelling) {
        TargetParameters parameters = TargetParameters.of(adapter.config());
        Set<String> numbers = new LinkedHashSet<>();
        if (!wrapped.names().isEmpty()) {
            names.tensors().forEach(name -> Stack.number(name).ifPresent(numbers::add));
        }
        Set<String> held = new LinkedHashSet<>();
        adapter.modules().forEach(module -> held.add(wrapped.then(spelling).apply(module)));
        List<String> missing = new ArrayList<>();
        Set<Stack> seen = new LinkedHashSet<>();
        for (String module : wrapped.names().keySet()) {
            String name = wrapped.module(module);
            for (String number : seen.add(Stack.of(name)) ? numbers : Set.<String>of()) {
                String other = Stack.of(name).layer(number);
                boolean claimed = parameters.claims(Stack.of(module).layer(number));
                if (claimed
                        && !held.contains(spelling.apply(other))
                        && !names.places(spelling.apply(other)).isEmpty()) {
                    missing.add(other);
                }
            }
        }
        if (!missing.isEmpty()) {
            throw new FormatException(
                    adapter.file(),
                    "lacks " + missing.size() + " parameters of the base that its config names in "
                            + TargetParameters.FIELD + ": " + some(missing)
                            + "; get the whole adapter, or name only what it holds");
        }
    }

    /** Refuses a layer whose numbers are not its weights. */
    private void requireFloats(String module) {
        find(module + WEIGHT)
                .flatMap(weight -> Quantization.of(base.tensors(), weight.name()))
                .filter(quantization -> quantization.packed() || quantization.scaled())
                .ifPresent(quantization -> {
                    throw quantization.refusal(base.path(), module);
                });
    }

    /** A layer that seems to be missing may be stored under other names. */
    private void requireUnpacked(Set<String> unknown) {
        Quantization.packed(base.tensors()).forEach((module, quantization) -> {
            if (unknown.contains(names.canonical(module))) {
                throw quantization.refusal(base.path(), module);
            }
        });
    }

    /** Modules of the base that end as another does; any, where none do. */
    private List<String> alike(String module) {
        String end = module.substring(module.lastIndexOf('.') + 1);
        List<String> all = names.matrices().stream().map(names::actualModule).toList();
        List<String> alike =
                all.stream().filter(own -> TargetModules.names(end, own)).toList();
        return alike.isEmpty() ? all : alike;
    }

    /**
     * The modules of the base that the adapter could adapt: those in the lists of layers in which it adapts some. Experts are
     * left out unless it adapts one: where they are stacked, as in transformers 5, no list of names reaches them.
     */
    private Set<String> body(Adapter adapter, UnaryOperator<String> spelling) {
        Set<String> kinds = new LinkedHashSet<>();
        Set<String> lists = new LinkedHashSet<>();
        adapter.modules().stream().map(spelling).forEach(module -> {
            kinds.add(Claims.kind(module));
            Claims.list(module).ifPresent(lists::add);
        });
        boolean experts = kinds.stream().anyMatch(Claims::isOfExperts);
        Set<String> body = new LinkedHashSet<>(names.matrices());
        body.removeIf(module -> !kinds.contains(Claims.kind(module))
                && (Claims.list(module).filter(lists::contains).isEmpty() || (Claims.isOfExperts(module) && !experts)));
        return body;
    }

    /**
     * The layers that a user's names mean, by PEFT's rule: a module's whole name, or its end after a dot.
     *
     * @throws FormatException if a name matches nothing; the message lists near matches
     */
    public List<Target> targets(List<String> wanted, Architecture architecture) {
        return new NamedTargets(base.path(), names, architecture).of(wanted);
    }

    /**
     * The layers that a user's names mean in a model of which there is only the config.
     *
     * @throws FormatException if a name matches nothing; the message lists near matches
     */
    public static List<Target> targets(ModelConfig config, List<String> wanted) {
        Architecture architecture = Architectures.of(config);
        TensorNames names = TensorNames.of(Optional.of(config.document()), architecture.requiredTensors());
        return new NamedTargets(config.document().path(), names, architecture).of(wanted);
    }

    private static String some(List<String> names) {
        return String.join(", ", names.subList(0, Math.min(4, names.size()))) + (names.size() > 4 ? ", …" : "");
    }

    /** The layers of one adapter. */
    private final class Layers {
        private final Adapter adapter;
        private final WrappedParameters wrapped;
        private final UnaryOperator<String> spelling;
        private final SavedTensors saved;
        private final boolean flag;
        private final Map<String, Boolean> turnedByKind;

        Layers(Adapter adapter, WrappedParameters wrapped, Spelling spelling, SavedTensors saved) {
            this.adapter = adapter;
            this.wrapped = wrapped;
            this.spelling = wrapped.then(spelling);
            this.saved = saved;
            this.flag = adapter.config().document().says("fan_in_fan_out");
            this.turnedByKind = turnedByKind();
        }

        List<Target> targets() {
            return adapter.modules().stream()
                    .flatMap(module -> targets(module, spelling.apply(module)).stream())
                    .toList();
        }

        private List<Target> targets(String module, String canonical) {
            return names.places(canonical).stream()
                    .map(place -> saved.shape(canonical + WEIGHT)
                            .map(shape -> new Place(place.tensor(), shape, place.storage()))
                            .orElse(place))
                    .map(place -> place.as(storage(module, canonical, place)))
                    .map(place -> target(module, canonical, place))
                    .toList();
        }

        private Target target(String module, String canonical, Place place) {
            // parts that have tensors of their own have names of their own
            String own = place.piece().isWhole() || place.storage() instanceof Storage.Expert
                    ? canonical
                    : TensorNames.module(names.canonical(place.tensor()));
            return new Target(
                    module,
                    own,
                    tensor(own, place),
                    place.out(),
                    place.in(),
                    place.storage(),
                    names.isBiased(own),
                    wrapped.parameter(module),
                    place.piece());
        }

        /** The head that is tied, and no longer will be, has a tensor of its own. */
        private String tensor(String canonical, Place place) {
            boolean tied = names.head().filter(canonical::equals).isPresent()
                    && names.find(canonical + WEIGHT).isEmpty();
            return tied ? names.spelled(canonical + WEIGHT) : place.tensor();
        }

        private Storage storage(String module, String canonical, Place place) {
            if (wrapped.has(module)) {
                return place.storage() instanceof Storage.Expert expert
                        ? new Storage.Expert(expert.index(), expert.count(), isTurnedStack(module, place))
                        : new Storage.Linear(false);
            }
            if (place.storage() instanceof Storage.Kernel kernel) {
                requireUngrouped(module, place.tensor(), kernel);
            }
            boolean matrix = place.storage() instanceof Storage.Linear || place.storage() instanceof Storage.Embedding;
            if (!matrix) {
                return place.storage();
            }
            if (adapter.isEmbedding(module)
                    && names.head().filter(canonical::equals).isEmpty()) {
                return new Storage.Embedding();
            }
            return new Storage.Linear(names.transposed(canonical).orElseGet(() -> isTurned(module, canonical, place)));
        }

        /** PEFT's A reads the channels of all groups, which no kernel of a grouped convolution does. */
        private void requireUngrouped(String module, String tensor, Storage.Kernel kernel) {
            Optional<Shape> update = adapter.layerShape(module)
                    .filter(own -> own.rank() == kernel.shape().rank());
            long channels = kernel.shape().dim(1);
            long own = update.map(shape -> shape.dim(1)).orElse(channels);
            if (own > channels && channels > 0 && own % channels == 0) {
                throw new FormatException(
                        base.path(),
                        tensor,
                        "is the kernel of a convolution in " + own / channels + " groups, and the update "
                                + adapter.file()
                                + " has for it mixes their channels: no such kernel can hold it, so that it cannot be merged"
                                + " (nor does PEFT); leave this module out of target_modules");
            }
        }

        /** The adapter's factors say how a stack is stored; of square matrices, as its other stacks are. */
        private boolean isTurnedStack(String module, Place place) {
            return turned(module, place)
                    .orElseGet(() -> wrapped.names().keySet().stream()
                            .flatMap(other -> names.places(spelling.apply(other)).stream()
                                    .findFirst()
                                    .flatMap(stack -> turned(other, stack))
                                    .stream())
                            .findFirst()
                            .orElse(place.storage().transposed()));
        }

        private Optional<Boolean> turned(String module, Place place) {
            Shape stack = place.shape();
            boolean open = stack.rank() != 3 || stack.dim(1) == stack.dim(2);
            return open
                    ? Optional.empty()
                    : adapter.layerShape(module).map(update -> update.equals(Shape.of(stack.dim(2), stack.dim(1))));
        }

        private boolean isTurned(String module, String canonical, Place place) {
            Optional<Shape> layer = adapter.layerShape(module);
            boolean otherwise = turnedByKind.getOrDefault(TensorNames.kind(canonical), flag);
            return (isSquare(place) || layer.isEmpty())
                    ? otherwise
                    : (fitsTurned(layer.get(), place) && (otherwise || !TensorNames.isNumbered(canonical)));
        }

        /**
         * Whether the adapter's factors fit the weights in numbered lists only transposed, by the kind of the modules; false for
         * a kind of which some fit as they are.
         */
        private Map<String, Boolean> turnedByKind() {
            Map<String, Boolean> turned = new LinkedHashMap<>();
            for (String module : adapter.modules()) {
                String canonical = spelling.apply(module);
                Optional<Place> place = names.places(canonical).stream().findFirst();
                Optional<Shape> layer = adapter.layerShape(module);
                if (TensorNames.isNumbered(canonical)
                        && place.isPresent()
                        && layer.isPresent()
                        && !isSquare(place.get())) {
                    boolean fitsTurned = fitsTurned(layer.get(), place.get());
                    if (fitsTurned || layer.get().equals(place.get().shape())) {
                        turned.merge(TensorNames.kind(canonical), fitsTurned, Boolean::logicalAnd);
                    }
                }
            }
            return turned;
        }

        private static boolean fitsTurned(Shape layer, Place place) {
            return place.shape().rank() == 2
                    && layer.rank() == 2
                    && layer.dim(0) == place.shape().dim(1)
                    && layer.dim(1) == place.shape().dim(0);
        }

        private static boolean isSquare(Place place) {
            return place.shape().rank() == 2
                    && place.shape().dim(0) == place.shape().dim(1);
        }
    }

    /** The base's tensor of a target, as it is stored: of a tied head the embedding table. */
    public TensorView weight(Target target) {
        return Optional.ofNullable(base.tensors().get(target.tensor()))
                .or(() -> names.places(target.canonical()).stream()
                        .findFirst()
                        .map(place -> base.tensors().get(place.tensor())))
                .orElseThrow(() -> new IllegalArgumentException("no weight of " + target.canonical()));
    }

    /** The layer of a module, however its name is spelled, if the base has a matrix for its weight. */
    public Optional<Target> layer(String module) {
        String canonical = names.canonical(module);
        return (names.find(canonical + WEIGHT).isEmpty() ? List.<Place>of() : names.places(canonical))
                .stream()
                        .filter(place -> place.shape().rank() == 2)
                        .findFirst()
                        .map(place -> new Target(
                                module,
                                canonical,
                                place.tensor(),
                                place.out(),
                                place.in(),
                                place.storage(),
                                names.isBiased(canonical)));
    }

    /** The modules whose weight is a matrix, as the base spells them, with their canonical names. */
    public SequencedMap<String, String> matrixModules() {
        SequencedMap<String, String> modules = new LinkedHashMap<>();
        names.matrices().forEach(module -> modules.put(names.actualModule(module), module));
        return modules;
    }

    /** The digest of each target's weight, by its canonical module name. */
    public Map<String, String> digests(List<Target> targets) {
        Map<String, String> own = new LinkedHashMap<>();
        targets.forEach(target -> own.computeIfAbsent(target.canonical(), absent -> digest(weight(target))));
        return own;
    }

    /** The digest of a tensor of the base, computed once. */
    public String digest(TensorView tensor) {
        return digests.computeIfAbsent(tensor.name(), absent -> tensor.sha256());
    }

    /** The tensor of the base that a canonical name means, if it has it. */
    public Optional<TensorView> find(String canonicalName) {
        return names.find(canonicalName).map(base.tensors()::get);
    }
}
