package dev.adapt.formats.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.BoundAdapter;
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
import dev.adapt.formats.names.Place;
import dev.adapt.formats.names.Spelling;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Shape;
import java.nio.file.Path;
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
import java.util.stream.Collectors;

/** Finds the layers that an adapter, or a user, names in a base of any architecture. */
public final class Binding {
    /** A name with numbers for a stack's layer, whichever. */
    private static final String ANY_LAYER = "0.0.0.0";

    private static final String WEIGHT = ".weight";
    private static final String BIAS = ".bias";

    private final Checkpoint base;
    private final TensorNames names;

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
        Spelling spelling = spelling(whole);
        requireModules(whole, spelling);
        SavedTensors saved = SavedTensors.of(whole, base, names, spelling);
        Adapter adapter = whole.without(saved.following()).recording(spelling);
        List<Target> targets = new Layers(adapter, spelling, saved).targets();
        requireOneShape(adapter.method(), targets);
        // digests cost a pass over the targets' bytes: only where there is something to compare them with
        Map<String, String> digests = adapter.recordsBase() && !force ? digests(targets) : Map.of();
        return BoundAdapter.of(adapter, targets, saved.tensors(), saved.names(), saved.change(), digests, force);
    }

    /** How the adapter spells the base's names; as the base's family does where nothing else places all of its modules. */
    private Spelling spelling(Adapter adapter) {
        return Spelling.of(names, adapter.modules(), (module, canonical) -> fits(adapter, module, canonical))
                .orElseGet(() -> Spelling.usual(names));
    }

    private boolean fits(Adapter adapter, String module, String canonical) {
        Optional<Shape> layer = adapter.layerShape(module);
        Optional<Place> place = names.places(canonical).stream().findFirst();
        return layer.isEmpty() || place.isEmpty() || hasDims(layer.get(), place.get());
    }

    private static boolean hasDims(Shape layer, Place place) {
        Shape upright = Shape.of(place.out(), place.in());
        return layer.equals(upright) || layer.equals(Shape.of(place.in(), place.out()));
    }

    /** The adapted modules; of a stack's name, the layers that the base has and the config names, in the base's order. */
    private SequencedSet<String> layers(Adapter adapter) {
        SequencedSet<String> layers = new LinkedHashSet<>();
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

    private void requireModules(Adapter adapter, Spelling spelling) {
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
        List<String> all = names.matrices().stream().map(this::actual).toList();
        List<String> alike =
                all.stream().filter(own -> TargetModules.names(end, own)).toList();
        return alike.isEmpty() ? all : alike;
    }

    /**
     * The modules of the base that the adapter could adapt: those in the lists of layers in which it adapts some. Experts are
     * left out unless it adapts one: where they are stacked, as in transformers 5, no list of names reaches them.
     */
    private Set<String> body(Adapter adapter, Spelling spelling) {
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
        return named(base.path(), wanted, architecture, names.tensors()).stream()
                .map(module -> linear(module, architecture.transposed(module)))
                .toList();
    }

    private Target linear(String module, boolean transposed) {
        Place place = names.places(module).getFirst().as(new Storage.Linear(transposed));
        return new Target(
                actual(module), module, place.tensor(), place.out(), place.in(), place.storage(), isBiased(module));
    }

    private boolean isBiased(String canonical) {
        return names.find(canonical + BIAS).isPresent();
    }

    /**
     * The layers that a user's names mean in a model of which there is only the config.
     *
     * @throws FormatException if a name matches nothing; the message lists near matches
     */
    public static List<Target> targets(ModelConfig config, List<String> names) {
        Architecture architecture = Architecture.of(config);
        Map<String, Shape> tensors = architecture.requiredTensors();
        List<Target> targets = new ArrayList<>();
        for (String module : named(config.document().path(), names, architecture, tensors.keySet())) {
            Shape shape = Objects.requireNonNull(tensors.get(module + ".weight"));
            boolean transposed = architecture.transposed(module);
            int out = Math.toIntExact(shape.dim(transposed ? 1 : 0));
            int in = Math.toIntExact(shape.dim(transposed ? 0 : 1));
            targets.add(new Target(
                    module,
                    module,
                    module + WEIGHT,
                    out,
                    in,
                    new Storage.Linear(transposed),
                    tensors.containsKey(module + BIAS)));
        }
        return targets;
    }

    private static List<String> named(Path base, List<String> names, Architecture architecture, Set<String> tensors) {
        List<String> modules = architecture.linearModules().stream()
                .filter(module -> tensors.contains(module + ".weight"))
                .toList();
        for (String name : names) {
            if (modules.stream().noneMatch(module -> TargetModules.names(name, module))) {
                throw new FormatException(
                        base, "no module is called \"" + name + "\"; near matches: " + near(name, modules));
            }
        }
        return modules.stream()
                .filter(module -> names.stream().anyMatch(name -> TargetModules.names(name, module)))
                .toList();
    }

    private String actual(String module) {
        String tensor = names.find(module + WEIGHT).orElse(module + WEIGHT);
        return tensor.substring(0, tensor.length() - WEIGHT.length());
    }

    private static String near(String name, List<String> modules) {
        return some(modules.stream()
                .map(module -> module.replaceFirst("^.*\\d+\\.", ""))
                .flatMap(module -> List.of(module, module.substring(module.lastIndexOf('.') + 1)).stream())
                .distinct()
                .sorted(Comparator.comparingInt(candidate -> distance(name, candidate)))
                .limit(4)
                .toList());
    }

    /** Levenshtein's edit distance. */
    private static int distance(String left, String right) {
        int[] row = new int[right.length() + 1];
        for (int i = 0; i <= left.length(); i++) {
            int diagonal = i - 1;
            for (int j = 0; j <= right.length(); j++) {
                int above = row[j];
                if (i == 0 || j == 0) {
                    row[j] = i + j;
                } else {
                    int substituted = diagonal + (left.charAt(i - 1) == right.charAt(j - 1) ? 0 : 1);
                    row[j] = Math.min(substituted, Math.min(above, row[j - 1]) + 1);
                }
                diagonal = above;
            }
        }
        return row[right.length()];
    }

    private static String some(List<String> names) {
        return String.join(", ", names.subList(0, Math.min(4, names.size()))) + (names.size() > 4 ? ", …" : "");
    }

    /** The layers of one adapter. */
    private final class Layers {
        private final Adapter adapter;
        private final Spelling spelling;
        private final SavedTensors saved;
        private final boolean otherwise;

        Layers(Adapter adapter, Spelling spelling, SavedTensors saved) {
            this.adapter = adapter;
            this.spelling = spelling;
            this.saved = saved;
            this.otherwise = isTurned(adapter.config().document().says("fan_in_fan_out"));
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
                    .map(place -> new Target(
                            module,
                            canonical,
                            tensor(canonical, place),
                            place.out(),
                            place.in(),
                            place.storage(),
                            isBiased(canonical)))
                    .toList();
        }

        /** The head that is tied, and no longer will be, has a tensor of its own. */
        private String tensor(String canonical, Place place) {
            boolean tied = names.head().filter(canonical::equals).isPresent()
                    && names.find(canonical + WEIGHT).isEmpty();
            return tied ? names.spelled(canonical + WEIGHT) : place.tensor();
        }

        private Storage storage(String module, String canonical, Place place) {
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

        private boolean isTurned(String module, String canonical, Place place) {
            Optional<Shape> layer = adapter.layerShape(module);
            return (isSquare(place) || layer.isEmpty())
                    ? otherwise
                    : (fitsTurned(layer.get(), place) && (otherwise || !TensorNames.isNumbered(canonical)));
        }

        /** What the adapter's own factors say of the layers in numbered lists, if they agree; else its config. */
        private boolean isTurned(boolean flag) {
            boolean plain = false;
            boolean turned = false;
            for (String module : adapter.modules()) {
                String canonical = spelling.apply(module);
                Optional<Place> place = names.places(canonical).stream().findFirst();
                Optional<Shape> layer = adapter.layerShape(module);
                if (TensorNames.isNumbered(canonical)
                        && place.isPresent()
                        && layer.isPresent()
                        && !isSquare(place.get())) {
                    plain |= layer.get().equals(place.get().shape());
                    turned |= fitsTurned(layer.get(), place.get());
                }
            }
            return plain == turned ? (flag && !plain) : turned;
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
                                isBiased(canonical)));
    }

    /** The modules whose weight is a matrix, as the base spells them, with their canonical names. */
    public SequencedMap<String, String> matrixModules() {
        SequencedMap<String, String> modules = new LinkedHashMap<>();
        names.matrices().forEach(module -> modules.put(actual(module), module));
        return modules;
    }

    /** The digest of each target's weight, by its canonical module name. */
    public Map<String, String> digests(List<Target> targets) {
        Map<String, String> digests = new LinkedHashMap<>();
        targets.forEach(target -> digests.put(target.canonical(), weight(target).sha256()));
        return digests;
    }

    /** The tensor of the base that a canonical name means, if it has it. */
    public Optional<TensorView> find(String canonicalName) {
        return names.find(canonicalName).map(base.tensors()::get);
    }
}
