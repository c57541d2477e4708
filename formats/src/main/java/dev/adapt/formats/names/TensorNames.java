package dev.adapt.formats.names;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.Piece;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.SequencedSet;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The names of a checkpoint's tensors. Every checkpoint has them, of a known family or not, with a config.json or without.
 *
 * <p>A tensor or module has one canonical name, whatever hub files, versions of transformers and adapters call it: for known
 * families that of the bare model, without a task's prefix. {@code families.json} holds what is known; where two tensors of
 * the checkpoint would get one canonical name, names stand as they are.
 */
public final class TensorNames {
    private static final String WEIGHT = ".weight";
    private static final String BIAS = ".bias";

    /** Objects in the config.json of a model of several parts that describe its language model. */
    public static final List<String> TEXT_CONFIGS = List.of("text_config", "llm_config", "language_config", "decoder");

    /** Modules that are heads of tasks: training replaces them, also with another number of outputs. */
    private static final List<String> TASK_HEADS = List.of(
            "classifier",
            "score",
            "qa_outputs",
            "pre_classifier",
            "classification_head",
            "cls_classifier",
            "cls.seq_relationship");

    private final Optional<JsonDocument> config;
    private final Family family;
    private final boolean known;
    private final SequencedMap<String, String> actual = new LinkedHashMap<>();
    private final SequencedMap<String, Shape> shapes = new LinkedHashMap<>();
    private final boolean asTheyAre;
    private final Orientation orientation;

    private TensorNames(Optional<JsonDocument> config, SequencedMap<String, Shape> tensors) {
        this.config = config;
        Families families = Families.read();
        Optional<Family> typed = config.flatMap(own -> own.string("model_type")).flatMap(families::ofType);
        this.known = typed.isPresent();
        this.family = typed.or(() -> families.ofTensors(tensors.keySet())).orElseGet(families::unknown);
        tensors.keySet().forEach(name -> actual.putIfAbsent(family.canonical(name), name));
        this.asTheyAre = actual.size() < tensors.size();
        if (asTheyAre) {
            actual.clear();
            tensors.keySet().forEach(name -> actual.put(name, name));
        }
        actual.forEach((canonical, name) -> shapes.put(canonical, tensors.get(name)));
        this.orientation = Orientation.of(shapes);
    }

    /** The names of an open checkpoint. */
    public static TensorNames of(Checkpoint checkpoint) {
        SequencedMap<String, Shape> tensors = new LinkedHashMap<>();
        checkpoint.tensors().forEach((name, tensor) -> tensors.put(name, tensor.shape()));
        return of(checkpoint.config(), tensors);
    }

    /**
     * The names of these tensors.
     *
     * @param config the checkpoint's config.json, which may be that of anything
     */
    public static TensorNames of(Optional<JsonDocument> config, SequencedMap<String, Shape> tensors) {
        return new TensorNames(config, tensors);
    }

    /** The canonical form of a tensor's or module's name, whether the checkpoint has it or not. */
    public String canonical(String name) {
        return asTheyAre ? name : family.canonical(name);
    }

    /** All canonical names of tensors, in the order of the checkpoint. */
    public SequencedSet<String> tensors() {
        return shapes.sequencedKeySet();
    }

    /** The name of the tensor that has a canonical name, as the checkpoint spells it. */
    public Optional<String> find(String canonical) {
        return Optional.ofNullable(actual.get(canonical));
    }

    /** The module whose weight has this name: without {@code .weight}; another name is returned as it is. */
    public static String module(String tensor) {
        return tensor.endsWith(WEIGHT) ? tensor.substring(0, tensor.length() - WEIGHT.length()) : tensor;
    }

    /** What the checkpoint calls the module of a canonical name; the canonical name where it has no weight of it. */
    public String actualModule(String canonical) {
        return find(canonical + WEIGHT).map(TensorNames::module).orElse(canonical);
    }

    /** What a class of the family with a head calls the module of a canonical name. */
    public String withHead(String canonical) {
        return family.prefixes().isEmpty() ? canonical : family.prefixes().getLast() + canonical;
    }

    /** Whether the checkpoint has a bias of the module of a canonical name. */
    public boolean isBiased(String canonical) {
        return find(canonical + BIAS).isPresent();
    }

    /** What the checkpoint would call a tensor that it lacks. */
    public String spelled(String canonical) {
        boolean inner = canonical.startsWith("lm_head.")
                && actual.values().stream().anyMatch(name -> name.startsWith("language_model.model."));
        boolean ofBody = (canonical.startsWith("pooler.") && !isOfTaskHead(canonical))
                || family.copies().contains(module(canonical));
        return inner ? "language_model." + canonical : ofBody ? before() + canonical : canonical;
    }

    /** What stands before the names of the body's tensors. */
    private String before() {
        return actual.entrySet().stream()
                .filter(name -> !isOfTaskHead(name.getKey()) && name.getValue().endsWith("." + name.getKey()))
                .map(name -> name.getValue()
                        .substring(0, name.getValue().length() - name.getKey().length()))
                .findFirst()
                .orElse("");
    }

    /** The shape of the tensor that has a canonical name. */
    public Optional<Shape> shape(String canonical) {
        return Optional.ofNullable(shapes.get(canonical));
    }

    /** The modules whose weight is a matrix, by canonical name. */
    public List<String> matrices() {
        return shapes.entrySet().stream()
                .filter(tensor ->
                        tensor.getKey().endsWith(WEIGHT) && tensor.getValue().rank() == 2)
                .map(tensor -> module(tensor.getKey()))
                .toList();
    }

    /** What modules have in common that are stored alike: the last part of the name; one for all of GPT-2's. */
    public static String kind(String module) {
        return Orientation.kind(module);
    }

    /** Whether a module is one of a numbered list of layers. */
    public static boolean isNumbered(String module) {
        return Orientation.isNumbered(module);
    }

    /**
     * Where the matrices of a module lie: one, or one for each expert of a stack; none where the checkpoint has no such
     * module. The weight of a linear layer whose orientation nothing tells counts as stored [out, in].
     *
     * @param module its canonical name
     */
    public List<Place> places(String module) {
        Optional<Shape> weight = shape(module + WEIGHT);
        if (weight.isPresent()) {
            return List.of(place(module + WEIGHT, storage(module, weight.get())));
        }
        Optional<Shape> parameter = shape(module).filter(shape -> shape.rank() == 3);
        if (parameter.isPresent()) {
            return experts(module, parameter.get());
        }
        List<Place> separate = separate(module);
        if (!separate.isEmpty()) {
            return separate;
        }
        return joined(module)
                .map(List::of)
                .orElseGet(() -> head().filter(module::equals).isPresent() && isTied()
                        ? table().map(this::places).orElse(List.of())
                        : List.of());
    }

    private Storage storage(String module, Shape weight) {
        return switch (weight.rank()) {
            case 0, 1 -> new Storage.Vector();
            case 2 ->
                table().filter(module::equals).isPresent()
                        ? new Storage.Embedding()
                        : new Storage.Linear(transposed(module).orElse(false));
            default -> new Storage.Kernel(weight);
        };
    }

    private List<Place> experts(String module, Shape stack) {
        int count = Math.toIntExact(stack.dim(0));
        boolean transposed = shape(module + "_bias")
                .filter(bias -> bias.rank() == 2 && stack.dim(1) != stack.dim(2))
                .map(bias -> bias.dim(1) == stack.dim(2))
                .orElse(family.transposedStacks());
        return IntStream.range(0, count)
                .mapToObj(index -> new Place(
                        find(module).orElseThrow(),
                        stack,
                        new Storage.Expert(index, count, transposed),
                        Piece.ofExpert(index, count)))
                .toList();
    }

    /** A stack of experts of which the checkpoint has a tensor for each part of each expert. */
    private List<Place> separate(String module) {
        for (Map.Entry<String, List<String>> join : family.joined().entrySet()) {
            Optional<String> prefix = Joined.prefix(module, join.getKey());
            if (prefix.isPresent()) {
                List<Place> places = separate(prefix.get(), join.getValue());
                if (!places.isEmpty()) {
                    return places;
                }
            }
        }
        return List.of();
    }

    private List<Place> separate(String prefix, List<String> parts) {
        List<String> found = new ArrayList<>();
        Set<Shape> sizes = new LinkedHashSet<>();
        for (int expert = 0; ; expert++) {
            for (String part : parts) {
                String weight = prefix + Joined.numbered(part, expert) + WEIGHT;
                Optional<Shape> shape = shape(weight).filter(own -> own.rank() == 2);
                if (shape.isEmpty()) {
                    // a layer of which experts are missing is no stack
                    return found.size() % parts.size() == 0 && sizes.size() == 1
                            ? pieces(found, parts.size())
                            : List.of();
                }
                sizes.add(shape.get());
                found.add(weight);
            }
        }
    }

    private List<Place> pieces(List<String> weights, int parts) {
        int experts = weights.size() / parts;
        return IntStream.range(0, weights.size())
                .mapToObj(i -> new Place(
                        find(weights.get(i)).orElseThrow(),
                        shape(weights.get(i)).orElseThrow(),
                        new Storage.Linear(false),
                        new Piece(i / parts, experts, i % parts, parts)))
                .toList();
    }

    /** A module that the checkpoint holds in one tensor together with others, such as the experts of a layer. */
    private Optional<Place> joined(String module) {
        for (Map.Entry<String, List<String>> join : family.joined().entrySet()) {
            List<String> parts = join.getValue();
            for (int part = 0; part < parts.size(); part++) {
                Optional<Joined.Part> found = Joined.part(module, parts.get(part));
                if (found.isPresent()) {
                    String holder = found.get().prefix() + join.getKey();
                    Optional<Place> place = joined(holder, found.get().expert(), part, parts.size());
                    if (place.isPresent()) {
                        return place;
                    }
                }
            }
        }
        return Optional.empty();
    }

    /** The modules that are the parts of one expert of a stack, the upper rows first; none where they are not known. */
    public List<String> parts(String stack, int expert) {
        for (Map.Entry<String, List<String>> join : family.joined().entrySet()) {
            Optional<String> prefix = Joined.prefix(stack, join.getKey());
            if (prefix.isPresent()) {
                return join.getValue().stream()
                        .map(part -> prefix.get() + Joined.numbered(part, expert))
                        .toList();
            }
        }
        return List.of();
    }

    private Optional<Place> joined(String holder, int expert, int part, int parts) {
        return Stream.of(holder, holder + WEIGHT)
                .filter(shapes::containsKey)
                .findFirst()
                .flatMap(name -> part(name, shape(name).orElseThrow(), expert, part, parts));
    }

    private Optional<Place> part(String name, Shape shape, int expert, int part, int parts) {
        boolean stack = shape.rank() == 3;
        long rows = stack ? shape.dim(1) : shape.rank() == 2 ? shape.dim(0) : 0;
        int experts = stack ? Math.toIntExact(shape.dim(0)) : 1;
        return rows > 0 && expert < experts && rows % parts == 0
                ? Optional.of(place(name, new Storage.Expert(expert * parts + part, experts * parts, false)))
                : Optional.empty();
    }

    private Place place(String canonical, Storage storage) {
        return new Place(find(canonical).orElseThrow(), shape(canonical).orElseThrow(), storage);
    }

    /** Whether a linear layer's weight is stored [in, out]; empty where nothing but an adapter can tell. */
    public Optional<Boolean> transposed(String module) {
        Optional<Boolean> told = orientation.transposed(module);
        if (told.isPresent() || !known) {
            return told;
        }
        return Optional.of(family.conv1d().contains(module.substring(module.lastIndexOf('.') + 1)));
    }

    /** The module of the embedding table, if the checkpoint has one. */
    public Optional<String> table() {
        return family.tables().stream()
                .filter(module -> shapes.containsKey(module + WEIGHT))
                .findFirst();
    }

    /** The module of the language modelling head, stored or not; empty for a model of another task. */
    public Optional<String> head() {
        Optional<String> stored = family.heads().stream()
                .filter(module -> shapes.containsKey(module + WEIGHT))
                .findFirst();
        boolean words = table().isPresent() && hasLanguageHead(className());
        return stored.or(() -> words ? family.heads().stream().findFirst() : Optional.empty());
    }

    /**
     * The name under which transformers keeps a bias of the head: that of a decoder inside the head's module is the bias of
     * the module, {@code cls.predictions.bias}. Another name, and one that the checkpoint has, is returned as it is.
     */
    public String kept(String canonical) {
        return head().filter(
                        head -> canonical.equals(head + BIAS) && find(canonical).isEmpty())
                .flatMap(this::outerBias)
                .orElse(canonical);
    }

    private Optional<String> outerBias(String head) {
        return Optional.of(head.substring(0, Math.max(0, head.lastIndexOf('.'))) + BIAS)
                .filter(shapes::containsKey);
    }

    /**
     * The tensors that a checkpoint lacks because transformers makes them of others while the head is tied to the table, with
     * those others; all by canonical names.
     */
    public SequencedMap<String, String> tiedCopies() {
        SequencedMap<String, String> copies = new LinkedHashMap<>();
        table().ifPresent(table -> family.copies().forEach(module -> copies.put(module + WEIGHT, table + WEIGHT)));
        head().ifPresent(head -> outerBias(head).ifPresent(bias -> copies.put(head + BIAS, bias)));
        copies.keySet().removeIf(shapes::containsKey);
        return copies;
    }

    private static boolean hasLanguageHead(String className) {
        boolean bare =
                className.endsWith("Model") && !className.endsWith("HeadsModel") && !className.endsWith("LMHeadModel");
        boolean task = className.contains("For")
                && Stream.of("CausalLM", "ConditionalGeneration", "MaskedLM", "PreTraining", "SpeechSeq2Seq")
                        .noneMatch(className::endsWith);
        return !bare && !task;
    }

    /** The class that config.json names; empty where it names none. */
    public String className() {
        return config.map(own -> own.json().path("architectures").path(0).asText(""))
                .orElse("");
    }

    /**
     * Whether the head is the embedding table: as config.json says it, or as transformers takes it where it does not; without a
     * config.json, if the checkpoint has no tensor for the head.
     */
    public boolean isTied() {
        if (table().isEmpty() || head().isEmpty()) {
            return false;
        }
        boolean stored = shapes.containsKey(head().get() + WEIGHT);
        if (config.isEmpty()) {
            return !stored;
        }
        return flag(config.get().json())
                .or(() -> TEXT_CONFIGS.stream()
                        .flatMap(part -> flag(config.get().json().path(part)).stream())
                        .findFirst())
                .orElse(known ? family.tied() : !stored);
    }

    private static Optional<Boolean> flag(JsonNode config) {
        JsonNode flag = config.path("tie_word_embeddings");
        return flag.isBoolean() ? Optional.of(flag.booleanValue()) : Optional.empty();
    }

    /** What the family's class with a classification head feeds it. */
    public Pooling pooling() {
        return Pooling.named(family.pooling()).orElseThrow();
    }

    /** Whether a tensor belongs to the head of a task, which an adapter may bring with another number of outputs. */
    public boolean isOfTaskHead(String canonical) {
        return TASK_HEADS.stream().anyMatch(head -> canonical.startsWith(head + "."));
    }
}
