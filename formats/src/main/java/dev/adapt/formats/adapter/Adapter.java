package dev.adapt.formats.adapter;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Stack;
import dev.adapt.formats.method.StoredParts;
import dev.adapt.formats.method.TargetModules;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedSet;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * An adapter as its folder holds it: {@code adapter_config.json} and {@code adapter_model.safetensors}, as PEFT lays
 * them out. What its modules are in a given base is for {@code BoundAdapter}.
 *
 * @param file the safetensors file
 * @param modules the adapted modules, as its keys spell them; of a {@link Stack} whose layers have no keys of their own, its
 *     name
 * @param parts the method's tensors by key
 * @param saved tensors it holds whole, by name in the model: of saved modules, biases, tables of words
 * @param notes what a user should know of what was read, each a sentence
 */
public record Adapter(
        Path file,
        AdapterConfig config,
        AdapterMethod method,
        SequencedSet<String> modules,
        Map<String, Tensor> parts,
        Map<String, Tensor> saved,
        Map<String, String> metadata,
        List<String> notes) {
    /** The tensors' file in an adapter folder. */
    public static final String FILE = "adapter_model.safetensors";

    /** The same as pickles, which PEFT wrote once. */
    private static final String PICKLED = "adapter_model.bin";

    /** The tensors' file of mlx-lm. */
    private static final String MLX = "adapters.safetensors";

    private static final Pattern METHOD_TENSOR = Pattern.compile(
            "(^|\\.)(lora|vera|condlora|lors|hada|ia3|oft|lokr|c3a|fourierft|waveft|shira|hira|delora|glora|peanut|deft|beft"
                    + "|osf|ln_tuning|trainable_tokens|boft|hra|miss|bone|road|psoft|pvera|vblora|randlora|tinylora|unilora"
                    + "|gralora|frod|adamss|lily)_");

    /** Up to here float32 holds every integer. */
    private static final int MOST_INTEGER = 1 << 24;

    /** How deep {@link #within} looks. */
    private static final int DEPTH = 3;

    /** What PEFT's keys begin with, before a tensor that all layers share. */
    public static final String SHARED_PREFIX = "base_model.";

    /** What PEFT's keys begin with, before the name of a module. */
    public static final String MODULE_PREFIX = "base_model.model.";
    /** What metadata keys begin with that record the digest of a target or stack, before its canonical name. */
    public static final String BASE_SHA256 = "adapt.base.sha256.";
    /** What metadata keys begin with that record the shape of a target or stack, before its module's name. */
    public static final String BASE_SHAPE = "adapt.base.shape.";
    /** What metadata keys begin with that record the digest of a regenerated part, before its name. */
    public static final String PART_SHA256 = "adapt.sha256.";

    /** What stands in a key between an adapted module and a tensor of the layer beneath. */
    public static final String BASE_LAYER = ".base_layer.";

    /** The same for an embedding of which rows are trained. */
    private static final String TOKEN_LAYER = ".token_adapter" + BASE_LAYER;

    public Adapter {
        notes = List.copyOf(notes);
    }

    /**
     * Reads an adapter folder, all of it into memory.
     *
     * @throws NoSuchFileException if there is none, or it lacks one of the two files
     * @throws FormatException if a file is broken, holds what no supported method explains, or holds other modules than the
     *     config says
     */
    public static Adapter read(Path folder) throws IOException {
        requireFiles(folder);
        try (SafetensorsFile tensors = SafetensorsFile.open(folder.resolve(FILE))) {
            return read(folder, tensors, FloatTensor::of);
        }
    }

    /** An adapter whose tensors stay in its file, each read when it is asked for; for adapters of any size. */
    public record Opened(Adapter adapter, SafetensorsFile tensors) implements AutoCloseable {
        @Override
        public void close() {
            tensors.close();
        }
    }

    /** As {@link #read}, with the tensors left in the file, which is open until it is closed. */
    @SuppressWarnings("MustBeClosedChecker") // closed by whoever closes what is returned
    public static Opened open(Path folder) throws IOException {
        requireFiles(folder);
        SafetensorsFile tensors = SafetensorsFile.open(folder.resolve(FILE));
        try {
            return new Opened(read(folder, tensors, TensorView::requireFloats), tensors);
        } catch (IOException | RuntimeException e) {
            tensors.close();
            throw e;
        }
    }

    private static Adapter read(Path folder, SafetensorsFile tensors, Function<TensorView, Tensor> values)
            throws IOException {
        AdapterConfig config = AdapterConfig.read(folder.resolve(AdapterConfig.FILE));
        AdapterMethod method = Methods.of(config, tensors.metadata());
        List<String> unknown = config.unknown(method.configFields());
        SequencedSet<String> modules = new LinkedHashSet<>();
        Map<String, Tensor> parts = new TreeMap<>();
        Map<String, Tensor> saved = new TreeMap<>();
        Set<String> beneath = new LinkedHashSet<>();
        for (TensorView tensor : AdapterKeys.of(method, tensors).in(tensors)) {
            String key = tensor.name();
            Optional<String> module = moduleOf(method, key);
            Tensor own = isInteger(method, key) ? integers(tensor) : values.apply(tensor);
            if (module.isPresent()) {
                modules.add(module.get());
                parts.put(key, own);
            } else if (key.startsWith(MODULE_PREFIX)) {
                saved.put(savedName(tensor, config, method), own);
                adaptedLayer(key).ifPresent(beneath::add);
            } else if (key.startsWith(SHARED_PREFIX)) {
                parts.put(key, own);
            } else {
                throw new FormatException(
                        tensors.path(), key, "expected a key that begins with \"" + SHARED_PREFIX + "\"");
            }
        }
        dropCopies(tensors.path(), method, parts);
        removeNamesOfLayers(modules);
        requireAsConfigured(tensors.path(), config, method, modules, parts, saved);
        List<String> notes = new ArrayList<>();
        if (!unknown.isEmpty()) {
            notes.add(config.path() + ": fields that adapt does not know are ignored: " + String.join(", ", unknown));
        }
        if (!config.bias().equals("none")
                && !config.mustHoldBiases()
                && saved.keySet().stream().noneMatch(name -> name.endsWith(".bias"))) {
            notes.add(tensors.path() + ": holds no biases, though its config says bias \"" + config.bias()
                    + "\": the base has none, or the version of PEFT that trained it did not save them; the biases of the"
                    + " base are used");
        }
        AdapterMethod stored = method.asStored(
                new StoredParts(modules, beneath, (module, part) -> parts.get(MODULE_PREFIX + module + "." + part)));
        return new Adapter(tensors.path(), config, stored, modules, parts, saved, tensors.metadata(), notes);
    }

    private static boolean isInteger(AdapterMethod method, String key) {
        boolean shared = key.startsWith(SHARED_PREFIX) && !key.startsWith(MODULE_PREFIX);
        return shared
                ? method.isInteger(key.substring(SHARED_PREFIX.length()).replaceFirst("\\..*", ""))
                : method.partNames().stream().anyMatch(part -> method.isInteger(part) && key.endsWith("." + part));
    }

    /**
     * Integers as floats, which hold them exactly.
     *
     * @throws FormatException if it holds floating point numbers, or an integer that is negative or too large
     */
    private static Tensor integers(TensorView tensor) {
        long[] stored = tensor.toLongs();
        float[] values = new float[stored.length];
        for (int i = 0; i < stored.length; i++) {
            if (stored[i] < 0 || stored[i] > MOST_INTEGER) {
                throw new FormatException(
                        tensor.file(),
                        tensor.name(),
                        "expected integers from 0 to " + MOST_INTEGER + ", found " + stored[i]);
            }
            values[i] = stored[i];
        }
        return new FloatTensor(tensor.shape(), values);
    }

    /** Layers' copies of a tensor that all share must be that tensor. */
    private static void dropCopies(Path file, AdapterMethod method, Map<String, Tensor> parts) {
        for (String name : method.copies()) {
            for (String key : List.copyOf(parts.keySet())) {
                if (!key.startsWith(MODULE_PREFIX) || !key.endsWith("." + name)) {
                    continue;
                }
                Tensor copy = Objects.requireNonNull(parts.remove(key));
                Tensor shared = parts.putIfAbsent(SHARED_PREFIX + name, copy);
                if (shared != null && !TensorDigest.ofFloats(shared).equals(TensorDigest.ofFloats(copy))) {
                    throw new FormatException(
                            file, key, "differs from " + SHARED_PREFIX + name + ", which all layers share");
                }
            }
        }
    }

    /** A stack whose layers have keys of their own is those layers. */
    private static void removeNamesOfLayers(SequencedSet<String> modules) {
        if (modules.stream().noneMatch(module -> new Stack(module).isNumbered())) {
            return;
        }
        Set<String> stacks = modules.stream()
                .filter(module -> !new Stack(module).isNumbered())
                .map(module -> Stack.of(module).name())
                .collect(Collectors.toSet());
        modules.removeIf(module -> new Stack(module).isNumbered() && stacks.contains(module));
    }

    private static void requireFiles(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            throw new NoSuchFileException(folder.toString());
        }
        List<Path> inside = Files.exists(folder.resolve(AdapterConfig.FILE)) ? List.of() : within(folder);
        if (!inside.isEmpty()) {
            throw new NoSuchFileException(
                    folder.toString(),
                    null,
                    "holds several adapters: " + String.join(", ", names(folder, inside)) + "; give the folder of one");
        }
        if (!Files.exists(folder.resolve(FILE)) && Files.exists(folder.resolve(PICKLED))) {
            throw new NoSuchFileException(
                    folder.toString(),
                    null,
                    "holds " + PICKLED + ", a pickle, which can run code when it is read; save the adapter as " + FILE);
        }
        if (!Files.exists(folder.resolve(FILE)) && Files.exists(folder.resolve(MLX))) {
            throw new NoSuchFileException(folder.toString(), null, mlx(folder.resolve(MLX)));
        }
        for (String name : List.of(AdapterConfig.FILE, FILE)) {
            if (!Files.exists(folder.resolve(name))) {
                throw new NoSuchFileException(folder.toString(), null, "holds no " + name + ": not an adapter folder");
            }
        }
    }

    /** Its keys tell whether only the name is mlx-lm's. */
    private static String mlx(Path file) throws IOException {
        try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
            boolean peft =
                    tensors.tensors().stream().allMatch(tensor -> tensor.name().startsWith(SHARED_PREFIX));
            return peft
                    ? "holds " + MLX + ", mlx-lm's name of a file with PEFT's keys; rename it to " + FILE
                    : "holds " + MLX + ", an adapter of mlx-lm (lora_a [in, r], lora_b [r, out]), which adapt does not"
                            + " read; convert it to PEFT's layout, or merge it with mlx_lm.fuse";
        }
    }

    private static List<String> names(Path folder, List<Path> inside) {
        return inside.stream().map(each -> folder.relativize(each).toString()).toList();
    }

    /** The adapter folders in a folder and below, in order: PEFT saves the adapters of one model this way. */
    public static List<Path> within(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> files = Files.walk(folder, DEPTH)) {
            return files.filter(file -> file.endsWith(AdapterConfig.FILE))
                    .map(Path::getParent)
                    .sorted()
                    .toList();
        }
    }

    private static Optional<String> moduleOf(AdapterMethod method, String key) {
        return method.partNames().stream()
                .filter(part -> key.startsWith(MODULE_PREFIX) && key.endsWith("." + part))
                .map(part -> key.substring(MODULE_PREFIX.length(), key.length() - part.length() - 1))
                .findFirst();
    }

    /** The adapted module of which a key holds the weight beneath the adapter. */
    private static Optional<String> adaptedLayer(String key) {
        String end = BASE_LAYER + "weight";
        return key.endsWith(end)
                ? Optional.of(key.substring(MODULE_PREFIX.length(), key.length() - end.length()))
                : Optional.empty();
    }

    /** {@code base_model.model.classifier.weight} is {@code classifier.weight}. */
    private static String savedName(TensorView tensor, AdapterConfig config, AdapterMethod method) {
        String stored = tensor.name()
                .substring(MODULE_PREFIX.length())
                .replace(TOKEN_LAYER, ".")
                .replace(BASE_LAYER, ".");
        String name = method.wholeModules()
                .map(infix -> stored.replace("." + infix + ".", "."))
                .orElse(stored);
        if (isOfMethod(name)) {
            throw new FormatException(
                    tensor.file(),
                    tensor.name(),
                    method.outdated(name.substring(name.lastIndexOf('.') + 1))
                            .orElse("is no tensor of " + config.peftType() + " as its config describes it"));
        }
        return name;
    }

    /** Whether a tensor's name is one that a method gives its tensors, whichever the method. */
    public static boolean isOfMethod(String tensor) {
        return METHOD_TENSOR.matcher(tensor).find();
    }

    /** The config and the file must speak of the same modules: PEFT would leave out, without a word, what they do not share. */
    private static void requireAsConfigured(
            Path file,
            AdapterConfig config,
            AdapterMethod method,
            SequencedSet<String> modules,
            Map<String, Tensor> parts,
            Map<String, Tensor> saved) {
        boolean holdsNone = modules.isEmpty() && !method.namesNoLayers();
        if (method.wholeModules().isPresent() ? saved.isEmpty() : holdsNone) {
            throw new FormatException(
                    file,
                    "holds no tensor of " + config.peftType() + ", the config's peft_type, and "
                            + (saved.isEmpty() ? "nothing else" : "only " + String.join(", ", saved.keySet())));
        }
        TargetModules targets = config.targetModules();
        TargetParameters parameters = TargetParameters.of(config);
        boolean ties = config.keepsTies()
                || modules.stream()
                        .anyMatch(module -> method.keepsTies(part -> parts.get(MODULE_PREFIX + module + "." + part)));
        List<String> unclaimed = modules.stream()
                // which layers of a stack are adapted is for the config to say
                .filter(module -> !new Stack(module).isNumbered() && !targets.claims(module))
                .filter(module -> !parameters.claims(module))
                // PEFT adapts the head that is tied to an adapted table, which the config does not name
                .filter(module -> !ties || Stack.number(module).isPresent())
                .filter(module -> !method.adaptsUnnamed(part -> parts.get(MODULE_PREFIX + module + "." + part)))
                .toList();
        if (!unclaimed.isEmpty()) {
            throw new FormatException(
                    file,
                    "adapts " + unclaimed.size() + " modules that its config does not name: "
                            + String.join(", ", unclaimed.subList(0, Math.min(4, unclaimed.size())))
                            + (unclaimed.size() > 4 ? ", …" : "")
                            + "; correct target_modules in " + AdapterConfig.FILE);
        }
        List<String> whole = config.modulesToSave();
        if (!whole.isEmpty() && saved.keySet().stream().noneMatch(name -> isOf(whole, name))) {
            throw new FormatException(file, "holds no tensor of the modules in modules_to_save " + whole);
        }
    }

    /** The tensors of an adapter's file under PEFT's keys, however they were saved. */
    public List<TensorView> stored(SafetensorsFile tensors) {
        return AdapterKeys.of(method, tensors).in(tensors);
    }

    /** The same adapter, what it records of its base under the names that the base at hand gives its modules. */
    public Adapter recording(UnaryOperator<String> canonical) {
        Map<String, String> renamed = new TreeMap<>();
        metadata.forEach((key, value) -> renamed.put(
                key.startsWith(BASE_SHA256) ? BASE_SHA256 + canonical.apply(key.substring(BASE_SHA256.length())) : key,
                value));
        return new Adapter(file, config, method, modules, parts, saved, renamed, notes);
    }

    /** The same adapter without some of its modules. */
    public Adapter without(Set<String> others) {
        SequencedSet<String> kept = new LinkedHashSet<>(modules);
        kept.removeAll(others);
        Map<String, Tensor> rest = new TreeMap<>(parts);
        others.forEach(module -> method.partNames().forEach(part -> rest.remove(MODULE_PREFIX + module + "." + part)));
        return new Adapter(file, config, method, kept, rest, saved, metadata, notes);
    }

    /** Whether a tensor belongs to one of the modules named, or to a module inside it. */
    public static boolean isOf(List<String> modules, String tensor) {
        return modules.stream()
                .anyMatch(module -> tensor.startsWith(module + ".") || tensor.contains("." + module + "."));
    }

    /** The shape [out, in] of a module's matrix, if its tensors tell it. */
    public Optional<Shape> layerShape(String module) {
        // a vector where a method has a matrix is for the check of its shape to name
        return method.layerShape(part ->
                part(module, part).filter(tensor -> tensor.shape().rank() > 1).orElse(null));
    }

    /** The stored tensor of a part of a module. */
    Optional<Tensor> part(String module, String part) {
        return Optional.ofNullable(parts.get(MODULE_PREFIX + module + "." + part));
    }

    /** Whether a head that is tied to this embedding follows it, because of how the method changes embeddings. */
    public boolean keepsTies(String module) {
        return method.keepsTies(part -> part(module, part).orElse(null));
    }

    /** Whether two modules have the same tensors. */
    public boolean haveSameParts(String module, String other) {
        return method.partNames().stream().allMatch(name -> {
            Optional<Tensor> own = part(module, name);
            Optional<Tensor> others = part(other, name);
            return own.isPresent() == others.isPresent()
                    && (own.isEmpty()
                            || TensorDigest.ofFloats(own.get()).equals(TensorDigest.ofFloats(others.orElseThrow())));
        });
    }

    /** Whether each of one module's tensors is one of another's, transposed: the two then have one update, transposed. */
    public boolean haveTransposedParts(String module, String other) {
        List<FloatTensor> own = partsOf(module);
        List<FloatTensor> others = partsOf(other);
        return own.size() == others.size()
                && own.stream()
                        .allMatch(part -> others.stream()
                                .map(FloatTensor::transposed)
                                .anyMatch(turned -> turned.shape().equals(part.shape())
                                        && Arrays.equals(turned.values(), part.values())));
    }

    private List<FloatTensor> partsOf(String module) {
        return method.partNames().stream()
                .flatMap(name -> part(module, name).stream())
                .filter(part -> part.shape().rank() == 2)
                .map(FloatTensor::of)
                .toList();
    }

    /** Whether a module is an embedding. */
    public boolean isEmbedding(String module) {
        return method.adaptsEmbedding(part -> part(module, part).orElse(null));
    }

    /** Whether its metadata say which base it was trained on. */
    public boolean recordsBase() {
        return metadata.keySet().stream().anyMatch(key -> key.startsWith(BASE_SHA256));
    }

    /** The same adapter, the layers of its stacks in the place of their names. */
    public Adapter of(SequencedSet<String> layers) {
        return new Adapter(file, config, method, layers, parts, saved, metadata, notes);
    }

    /** The same adapter under a variant of its method. */
    public Adapter with(AdapterMethod other) {
        return new Adapter(file, config, other, modules, parts, saved, metadata, notes);
    }
}
