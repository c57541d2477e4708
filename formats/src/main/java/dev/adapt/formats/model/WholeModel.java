package dev.adapt.formats.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.BaseChange;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.adapter.Lors;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.ChangedConfig;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.ValueCount;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SequencedMap;
import java.util.Set;

/**
 * A model of which nothing is frozen: in stacks that share weights (LORS), or, without stacks, a plain one. Its folder is
 * that of an adapter with the model's config.json beside it, or a plain checkpoint.
 *
 * @param adapter every tensor of the model: those of stacks, and all others as saved ones
 * @param targets what the stacks are called, as the user or the architecture does; empty without stacks
 */
public record WholeModel(ModelConfig config, BoundAdapter adapter, List<String> targets) {
    /** What transformers keeps beside a model that says how to read its inputs, or to generate. */
    private static final List<String> READERS = List.of(
            "added_tokens.json",
            "chat_template.jinja",
            "generation_config.json",
            "merges.txt",
            "preprocessor_config.json",
            "sentencepiece.bpe.model",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
            "vocab.json",
            "vocab.txt");

    public WholeModel {
        targets = List.copyOf(targets);
    }

    /** A whole model whose tensors stay in its file, for as long as that is open. */
    public record Opened(WholeModel whole, Adapter.Opened file) implements AutoCloseable {
        @Override
        public void close() {
            file.close();
        }
    }

    /**
     * Whether a folder holds a model whose layers share weights.
     *
     * @throws FormatException if it has an adapter_config.json that cannot be read
     */
    public static boolean isIn(Path folder) throws IOException {
        Path config = folder.resolve(AdapterConfig.FILE);
        return Files.exists(config)
                && AdapterConfig.read(config)
                        .document()
                        .string("peft_type")
                        .filter(Lors.PEFT_TYPE::equals)
                        .isPresent();
    }

    /**
     * Opens a folder that holds a model whose layers share weights.
     *
     * @throws NoSuchFileException if a file is missing
     * @throws FormatException if a file is broken, or its tensors are not those that its two configs call for
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by whoever closes what is returned
    public static Opened open(Path folder) throws IOException {
        Adapter.Opened opened = Adapter.open(folder);
        try {
            return new Opened(of(folder, opened.adapter()), opened);
        } catch (IOException | RuntimeException e) {
            opened.close();
            throw e;
        }
    }

    /** Reads such a folder, all of it into memory. */
    public static WholeModel read(Path folder) throws IOException {
        return of(folder, Adapter.read(folder));
    }

    private static WholeModel of(Path folder, Adapter adapter) throws IOException {
        Path file = folder.resolve(ModelConfig.FILE);
        if (!Files.exists(file)) {
            throw new NoSuchFileException(
                    folder.toString(),
                    null,
                    "holds no " + ModelConfig.FILE + ", without which its tensors are no model");
        }
        ModelConfig config = ModelConfig.read(file);
        List<String> names = adapter.config().targetModules().names();
        if (names.isEmpty()) {
            throw adapter.config().document().wrong("target_modules", "the names of the modules that share weights");
        }
        List<Target> targets = Binding.targets(config, names);
        if (adapter.method() instanceof Lors lors) {
            lors.misfit(targets).ifPresent(fault -> {
                throw new FormatException(adapter.config().path(), fault);
            });
        }
        BoundAdapter bound = BoundAdapter.of(
                adapter,
                targets,
                adapter.saved(),
                Map.of(),
                BaseChange.of(Optional.empty()),
                Map.of(),
                Optional.empty(),
                true);
        WholeModel whole = new WholeModel(config, bound, names);
        whole.model();
        return whole;
    }

    /**
     * A plain checkpoint, all of it in memory.
     *
     * @throws NoSuchFileException if it has no config.json
     * @throws FormatException if its architecture is not supported or a tensor is missing
     */
    public static WholeModel plain(Checkpoint checkpoint) throws IOException {
        Model model = Model.of(checkpoint);
        return of(model.config(), Lors.plain(), List.of(), List.of(), Map.of(), others(checkpoint, List.of()));
    }

    /**
     * A model of tensors in memory.
     *
     * @param targets the layers that share weights
     * @param parts the method's tensors, by the keys of its file
     * @param others all other tensors of the model, by canonical name
     * @throws FormatException if a tensor is missing or has another shape than the config calls for
     */
    public static WholeModel of(
            ModelConfig config,
            Lors method,
            List<String> names,
            List<Target> targets,
            Map<String, ? extends Tensor> parts,
            Map<String, ? extends Tensor> others) {
        WholeModel whole = new WholeModel(
                config,
                new BoundAdapter(
                        method,
                        targets,
                        new LinkedHashMap<>(parts),
                        new LinkedHashMap<>(others),
                        Map.of(),
                        BaseChange.of(Optional.empty()),
                        Map.of()),
                names);
        whole.model();
        return whole;
    }

    /** The tensors of a checkpoint but for the weights of these layers, by canonical name; buffers of integers are left out. */
    public static SequencedMap<String, Tensor> others(Checkpoint checkpoint, List<Target> targets) throws IOException {
        TensorNames names = TensorNames.of(checkpoint);
        SequencedMap<String, Tensor> others = new LinkedHashMap<>();
        for (TensorView tensor : checkpoint.tensors().values()) {
            if (tensor.dtype().floatFormat().isPresent()) {
                others.put(names.canonical(tensor.name()), FloatTensor.of(tensor));
            }
        }
        targets.forEach(target -> others.remove(target.canonical() + ".weight"));
        return others;
    }

    /** Whether its layers share weights. */
    public boolean hasStacks() {
        return !adapter.targets().isEmpty();
    }

    /** The model, ready to run. */
    public Model model() {
        return Model.whole(config, adapter);
    }

    /** What its path is called in messages. */
    public Path path() {
        return config.document().path();
    }

    /**
     * The model with another classification head, and without the tensors that it then no longer reads.
     *
     * @param tensors of the head, by canonical name
     */
    public WholeModel withHead(Head head, Map<String, ? extends Tensor> tensors) {
        ModelConfig changed = config.withHead(head);
        Map<String, Tensor> saved = new LinkedHashMap<>(adapter.saved());
        headTensors().keySet().forEach(saved::remove);
        saved.putAll(tensors);
        return of(changed, method(), targets, adapter.targets(), adapter.tensors(), saved)
                .withoutUnread();
    }

    /** The tensors of its classification head by canonical name; none where it has no head. */
    public Map<String, Tensor> headTensors() {
        Architecture architecture = Architecture.of(config);
        Map<String, Tensor> tensors = new LinkedHashMap<>(adapter.saved());
        tensors.keySet()
                .retainAll(architecture
                        .head()
                        .map(head -> architecture.headTensors(head).keySet())
                        .orElse(Set.of()));
        return tensors;
    }

    /** The model without tensors that its graph does not read, which cannot be trained. */
    public WholeModel withoutUnread() {
        Map<String, Tensor> saved = new LinkedHashMap<>(adapter.saved());
        saved.keySet().retainAll(Architecture.of(config).requiredTensors().keySet());
        return of(config, method(), targets, adapter.targets(), adapter.tensors(), saved);
    }

    /** The same model, whose config.json records how prompts were laid out in training. */
    public WholeModel withPrompt(PromptFormat prompt) {
        BaseChange change = new BaseChange(
                Optional.empty(),
                Optional.empty(),
                OptionalInt.empty(),
                false,
                Optional.empty(),
                Optional.of(prompt));
        return new WholeModel(new ModelConfig(ChangedConfig.of(config.document(), change)), adapter, targets);
    }

    /** The same model with other values, as training left them. */
    public WholeModel with(BoundAdapter trained) {
        return new WholeModel(config, trained, targets);
    }

    /** How its stacks are made. */
    public Lors method() {
        return adapter.method() instanceof Lors own ? own : Lors.plain();
    }

    /** The number of its parameters. */
    public long parameters() {
        return elements(adapter.tensors()) + elements(adapter.saved());
    }

    /** The number of parameters of the same model without stacks. */
    public long plainParameters() {
        return elements(adapter.saved())
                + adapter.targets().stream()
                        .mapToLong(target -> target.storedShape().elements())
                        .sum();
    }

    private static long elements(Map<String, Tensor> tensors) {
        return tensors.values().stream()
                .mapToLong(tensor -> tensor.shape().elements())
                .sum();
    }

    /**
     * Writes the model into an existing folder, in float32: config.json and the files of its layout, each whole or not at
     * all, with the tokenizer and what else reads the model's inputs.
     *
     * @param readers the folder that holds those
     * @return the file with the weights
     */
    public Path write(Path folder, Path readers) throws IOException {
        for (String name : READERS) {
            if (Files.exists(readers.resolve(name))) {
                InputFile.found(readers.resolve(name)).copyTo(folder.resolve(name));
            }
        }
        return write(folder);
    }

    /** The names of all files that {@link #write(Path, Path)} may write. */
    public static Set<String> files() {
        Set<String> files = new HashSet<>(READERS);
        files.addAll(List.of(ModelConfig.FILE, Checkpoint.SINGLE, Adapter.FILE, AdapterConfig.FILE));
        return files;
    }

    /** Writes the model's own files alone. */
    public Path write(Path folder) throws IOException {
        try (OutputFile pending = Outputs.replacing().file(folder.resolve(ModelConfig.FILE))) {
            pending.text(config.inFloat32().document().text());
            pending.commit();
        }
        if (hasStacks()) {
            adapter.write(folder, targets, folder);
            return folder.resolve(Adapter.FILE);
        }
        Map<String, FloatTensor> stored = new LinkedHashMap<>();
        adapter.saved()
                .forEach((name, tensor) ->
                        stored.put(Architecture.checkpointName(config, name), FloatTensor.of(tensor)));
        ValueCount.requireFiniteResults(folder.resolve(Checkpoint.SINGLE), stored);
        SafetensorsWriter.write(folder.resolve(Checkpoint.SINGLE), stored, Map.of("format", "pt"));
        return folder.resolve(Checkpoint.SINGLE);
    }
}
