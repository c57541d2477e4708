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
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;

/** Finds the layers that an adapter, or a user, names in a base. */
public final class Binding {
    /** A name with numbers for a stack's layer, whichever. */
    private static final String ANY_LAYER = "0.0.0.0";

    private final Checkpoint base;
    private final Optional<Architecture> architecture;
    private final UnaryOperator<String> canonical;
    private final SequencedMap<String, TensorView> byCanonical;

    /**
     * Names as the base's architecture maps them; without a config.json, names as they stand.
     *
     * @throws FormatException if the base's architecture is not supported
     */
    public Binding(Checkpoint base) {
        this.base = base;
        this.architecture = base.config().map(Architecture::of);
        this.canonical = name -> architecture.map(own -> own.canonical(name)).orElse(name);
        this.byCanonical = new LinkedHashMap<>();
        base.tensors().forEach((name, tensor) -> byCanonical.put(canonical.apply(name), tensor));
    }

    /**
     * An adapter on the base.
     *
     * @param stored as its folder holds it
     * @param force whether to go on with another base than the adapter was trained on
     * @throws FormatException if a module of the adapter is not in the base, or one that its config names is not in the
     *     adapter, a shape does not fit, the adapter was trained on another base, or it is a whole model
     */
    public BoundAdapter bind(Adapter stored, boolean force) {
        BoundAdapter.requireUpdate(stored);
        Adapter adapter = stored.of(layers(stored));
        requireModules(adapter);
        SavedTensors saved = SavedTensors.of(adapter, base, byCanonical, canonical, architecture);
        boolean otherwise = adapter.config().document().says("fan_in_fan_out");
        List<Target> targets = ordered(
                adapter,
                adapter.modules().stream()
                        .map(module ->
                                target(module, saved, isTransposed(module, otherwise), adapter.isEmbedding(module)))
                        .toList());
        requireOneShape(adapter.method(), targets);
        // digests cost a pass over the targets' bytes: only where there is something to compare them with
        Map<String, String> digests = adapter.recordsBase() && !force ? digests(targets) : Map.of();
        return BoundAdapter.of(adapter, targets, saved.tensors(), saved.names(), saved.change(), digests, force);
    }

    /** The layers in the model's order, where the method numbers them. */
    private List<Target> ordered(Adapter adapter, List<Target> targets) {
        if (!adapter.method().numbersLayers()) {
            return targets;
        }
        List<String> order = architecture.map(Architecture::linearModules).orElse(List.of());
        for (Target target : targets) {
            if (!order.contains(target.canonical())) {
                throw new FormatException(
                        adapter.file(),
                        target.module(),
                        "cannot be numbered: " + adapter.method().title()
                                + " numbers the layers of a model in their order, which adapt does not know for this base");
            }
        }
        return targets.stream()
                .sorted(Comparator.comparingInt(target -> order.indexOf(target.canonical())))
                .toList();
    }

    /** The adapted modules; of a stack's name, the layers that the base has and the config names, in the base's order. */
    private SequencedSet<String> layers(Adapter adapter) {
        SequencedSet<String> layers = new LinkedHashSet<>();
        if (adapter.method().namesNoLayers() && adapter.modules().isEmpty()) {
            body(adapter).stream()
                    .map(this::actual)
                    .filter(module -> adapter.config().targetModules().claims(module))
                    .forEach(layers::add);
            return layers;
        }
        Map<Stack, Stack> stacks = new LinkedHashMap<>();
        for (String module : adapter.modules()) {
            Stack own = new Stack(module);
            if (own.isNumbered()) {
                stacks.put(Stack.of(canonical.apply(own.layer(ANY_LAYER))), own);
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
        Stack.of(targets).forEach((stack, layers) -> {
            Target first = layers.getFirst();
            List<String> others = layers.stream()
                    .filter(layer -> layer.out() != first.out() || layer.in() != first.in())
                    .map(layer -> layer.tensor() + " " + Shape.of(layer.out(), layer.in()))
                    .toList();
            boolean shares = method.parts(first, layers).stream().anyMatch(part -> part.scope() == Part.Scope.STACK);
            if (!others.isEmpty() && shares) {
                throw new FormatException(
                        base.path(),
                        first.tensor(),
                        "has shape " + Shape.of(first.out(), first.in()) + " and other layers of " + stack.name()
                                + " differ: " + some(others) + "; " + method.peftType()
                                + " shares its matrices among them, so adapt only layers of one shape");
            }
        });
    }

    private void requireModules(Adapter adapter) {
        List<String> unknown = adapter.modules().stream()
                .filter(module -> weightOf(canonical.apply(module)).isEmpty())
                .toList();
        if (!unknown.isEmpty()) {
            requireUnpacked(unknown);
            throw new FormatException(
                    adapter.file(),
                    unknown.size() + " of its " + adapter.modules().size() + " modules are not in " + base.path() + ": "
                            + some(unknown) + "; give the base it was trained on");
        }
        List<String> missing = new Claims(adapter, body(adapter), canonical).missing();
        if (!missing.isEmpty()) {
            throw new FormatException(
                    adapter.file(),
                    "lacks " + missing.size() + " modules of the base that its config names in target_modules: "
                            + some(missing) + "; get the whole adapter, or name only what it holds");
        }
    }

    /** A layer that seems to be missing may be stored under other names. */
    private void requireUnpacked(List<String> unknown) {
        Set<String> names = unknown.stream().map(canonical).collect(Collectors.toSet());
        Quantization.packed(base.tensors()).forEach((module, quantization) -> {
            if (names.contains(canonical.apply(module))) {
                throw quantization.refusal(base.path(), module);
            }
        });
    }

    /** The linear layers of the base that an adapter can adapt; without a config, those like the ones it does adapt. */
    private Set<String> body(Adapter adapter) {
        Set<String> body = new LinkedHashSet<>();
        Set<String> kinds = adapter.modules().stream().map(Claims::kind).collect(Collectors.toSet());
        architecture.ifPresentOrElse(
                own -> body.addAll(own.linearModules()),
                () -> byCanonical.keySet().stream()
                        .filter(name -> name.endsWith(".weight"))
                        .map(name -> name.substring(0, name.length() - ".weight".length()))
                        .filter(module -> kinds.contains(Claims.kind(module)))
                        .forEach(body::add));
        body.removeIf(module -> !byCanonical.containsKey(module + ".weight"));
        return body;
    }

    /** A config tells how the base is stored; without one the adapter's word counts. */
    private boolean isTransposed(String module, boolean otherwise) {
        return architecture.map(own -> own.transposed(canonical.apply(module))).orElse(otherwise);
    }

    /** The tensor of a module's weight: a tied head's is the table of words. */
    private Optional<TensorView> weightOf(String canonicalModule) {
        return find(canonicalModule + ".weight")
                .or(() -> architecture
                        .filter(own ->
                                own.tiedHead().filter(canonicalModule::equals).isPresent())
                        .flatMap(Architecture::wordTable)
                        .flatMap(table -> find(table + ".weight")));
    }

    /**
     * The layers that a user's names mean, by PEFT's rule: a module's whole name, or its end after a dot.
     *
     * @throws FormatException if a name matches nothing; the message lists near matches
     */
    public List<Target> targets(List<String> names, Architecture architecture) {
        return named(base.path(), names, architecture, byCanonical.keySet()).stream()
                .map(module -> target(actual(module), SavedTensors.none(), isTransposed(module, false), false))
                .toList();
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
            targets.add(new Target(module, module, module + ".weight", out, in, transposed));
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
        String tensor = tensor(module).name();
        return tensor.substring(0, tensor.length() - ".weight".length());
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

    private Target target(String module, SavedTensors saved, boolean transposed, boolean embedding) {
        String own = canonical.apply(module);
        TensorView weight = tensor(own);
        Shape shape = saved.shape(own + ".weight").orElse(weight.shape());
        Quantization.of(base.tensors(), weight.name())
                .filter(Quantization::packed)
                .ifPresent(quantization -> {
                    throw quantization.refusal(weight.file(), weight.name());
                });
        if (shape.rank() != 2) {
            throw new FormatException(
                    weight.file(), weight.name(), "has shape " + shape + ", expected the matrix of a linear layer");
        }
        boolean turned = transposed || embedding;
        int rows = Math.toIntExact(shape.dim(0));
        int columns = Math.toIntExact(shape.dim(1));
        return new Target(
                module,
                own,
                find(own + ".weight").map(TensorView::name).orElse(own + ".weight"),
                turned ? columns : rows,
                turned ? rows : columns,
                embedding ? new Storage.Embedding() : new Storage.Linear(transposed));
    }

    private TensorView tensor(String canonicalModule) {
        return weightOf(canonicalModule)
                .orElseThrow(() -> new IllegalArgumentException("no weight of " + canonicalModule));
    }

    /** The base's tensor of a target, as it is stored. */
    public TensorView weight(Target target) {
        return tensor(target.canonical());
    }

    /** The layer of a module, however its name is spelled, if the base has a matrix for its weight. */
    public Optional<Target> layer(String module) {
        return find(canonical.apply(module) + ".weight")
                .filter(weight -> weight.shape().rank() == 2)
                .map(weight -> target(module, SavedTensors.none(), isTransposed(module, false), false));
    }

    /** The modules whose weight is a matrix, as the base spells them, with their canonical names. */
    public SequencedMap<String, String> matrixModules() {
        SequencedMap<String, String> modules = new LinkedHashMap<>();
        byCanonical.forEach((name, tensor) -> {
            if (name.endsWith(".weight") && tensor.shape().rank() == 2) {
                String module = name.substring(0, name.length() - ".weight".length());
                modules.put(actual(module), module);
            }
        });
        return modules;
    }

    /** The digest of each target's weight, by its canonical module name. */
    public Map<String, String> digests(List<Target> targets) {
        Map<String, String> digests = new LinkedHashMap<>();
        targets.forEach(target ->
                digests.put(target.canonical(), tensor(target.canonical()).sha256()));
        return digests;
    }

    /** The tensor of the base that a canonical name means, if it has it. */
    public Optional<TensorView> find(String canonicalName) {
        return Optional.ofNullable(byCanonical.get(canonicalName));
    }
}
