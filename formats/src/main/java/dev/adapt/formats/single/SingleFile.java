package dev.adapt.formats.single;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * An adapter in one safetensors file, as programs that make images keep them: with the keys of kohya's sd-scripts, LyCORIS,
 * diffusers or ComfyUI. It may hold adapters of several models of a pipeline, and modules of several methods. The tensors stay
 * in the file until it is closed.
 *
 * @param adapters one for each method, as PEFT would hold them
 */
public record SingleFile(SafetensorsFile file, List<Adapter> adapters) implements AutoCloseable {
    /** What metadata keys of our files begin with that record a module's name, before its name in the file. */
    public static final String MODULE = "adapt.module.";

    private static final String PEFT_KEY = "base_model.model.";

    public SingleFile {
        adapters = List.copyOf(adapters);
    }

    /**
     * Opens a file.
     *
     * @param base what it adapts; without one, the file must record the names of its modules
     * @param only the one model of which adapters are read; all, where it is not given
     * @throws FormatException if the file is broken or holds something else, or a module is not in the base
     * @throws UsageException if the file holds no adapter of the model
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by whoever closes what is returned
    public static SingleFile open(Path path, Optional<Checkpoint> base, Optional<ModelPart> only) throws IOException {
        SafetensorsFile file = SafetensorsFile.open(InputFile.named(path));
        try {
            return new SingleFile(file, adapters(file, base, only));
        } catch (RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** The same, all of it in memory. */
    public static List<Adapter> read(Path path, Optional<Checkpoint> base, Optional<ModelPart> only)
            throws IOException {
        try (SingleFile opened = open(path, base, only)) {
            return opened.adapters.stream().map(SingleFile::inMemory).toList();
        }
    }

    private static Adapter inMemory(Adapter adapter) {
        Map<String, Tensor> parts = new TreeMap<>();
        adapter.parts().forEach((key, tensor) -> parts.put(key, FloatTensor.of(tensor)));
        return new Adapter(
                adapter.file(),
                adapter.config(),
                adapter.method(),
                adapter.modules(),
                parts,
                adapter.saved(),
                adapter.metadata(),
                adapter.notes());
    }

    private static List<Adapter> adapters(SafetensorsFile file, Optional<Checkpoint> base, Optional<ModelPart> only) {
        List<Entry> entries = of(only, entries(file), file.path());
        Optional<ModuleNames> names = base.map(ModuleNames::new);
        SequencedMap<String, Entry> modules = new LinkedHashMap<>();
        List<Entry> unknown = new ArrayList<>();
        for (Entry entry : entries) {
            Optional<String> recorded = Optional.ofNullable(file.metadata().get(MODULE + entry.name()));
            Optional<String> module =
                    names.isEmpty() ? recorded : names.get().find(file.path(), recorded.orElse(entry.name()));
            if (module.isEmpty()) {
                unknown.add(entry);
            } else if (modules.put(module.get(), entry) != null) {
                throw new FormatException(
                        file.path(), entry.name(), "means a module that another name means too: " + module.get());
            }
        }
        if (!unknown.isEmpty()) {
            throw unknown(file.path(), entries.size(), unknown, base, names);
        }
        Map<Entry.Kind, SequencedMap<String, Entry>> kinds = new EnumMap<>(Entry.Kind.class);
        modules.forEach((module, entry) -> kinds.computeIfAbsent(entry.kind(), absent -> new LinkedHashMap<>())
                .put(module, entry));
        List<Adapter> adapters = new ArrayList<>();
        kinds.forEach((kind, own) ->
                adapters.add(new KindOfAdapter(file, kind, module -> names.map(each -> each.weight(module))).of(own)));
        return adapters;
    }

    private static List<Entry> entries(SafetensorsFile file) {
        SequencedMap<String, Entry> entries = new LinkedHashMap<>();
        for (TensorView tensor : file.tensors()) {
            if (tensor.name().startsWith(PEFT_KEY)) {
                throw new FormatException(
                        file.path(),
                        tensor.name(),
                        "is PEFT's key; a PEFT adapter is given as its folder, where adapter_config.json tells the scale");
            }
            TensorRole.Named named = TensorRole.of(tensor.name())
                    .orElseThrow(() -> new FormatException(
                            file.path(),
                            tensor.name(),
                            "is no tensor of LoRA, LoHa or LoKr as kohya, LyCORIS, diffusers or ComfyUI name them, and no"
                                    + " other methods are read from one file; a PEFT adapter is given as its folder"));
            Entry entry = entries.computeIfAbsent(named.module(), module -> new Entry(file.path(), module));
            if (entry.tensors().put(named.role(), tensor) != null) {
                throw new FormatException(file.path(), tensor.name(), "is there under another name too");
            }
        }
        if (entries.isEmpty()) {
            throw new FormatException(file.path(), "holds no tensors");
        }
        return List.copyOf(entries.values());
    }

    private static List<Entry> of(Optional<ModelPart> only, List<Entry> entries, Path path) {
        if (only.isEmpty()) {
            return entries;
        }
        List<Entry> own =
                entries.stream().filter(entry -> entry.part().equals(only)).toList();
        if (own.isEmpty()) {
            throw new UsageException(
                    "only", path + " holds nothing of " + only.get().title() + ", but " + parts(entries));
        }
        return own;
    }

    /** How many modules of which models, for a message. */
    private static String parts(List<Entry> entries) {
        return entries.stream()
                .collect(Collectors.groupingBy(
                        entry -> entry.part().map(ModelPart::title).orElse("no named model"),
                        LinkedHashMap::new,
                        Collectors.counting()))
                .entrySet()
                .stream()
                .map(part -> part.getValue() + " modules of " + part.getKey())
                .collect(Collectors.joining(", "));
    }

    private static FormatException unknown(
            Path path, int all, List<Entry> unknown, Optional<Checkpoint> base, Optional<ModuleNames> names) {
        Set<String> some = unknown.stream().map(Entry::name).limit(3).collect(Collectors.toCollection(TreeSet::new));
        if (base.isEmpty()) {
            return new FormatException(
                    path,
                    "its names, such as " + String.join(", ", some)
                            + ", do not tell dots from underscores; give the base it adapts");
        }
        String advice = unknown.size() < all
                ? "; they are " + parts(unknown) + ": choose the model that this base is"
                : "; give the base it adapts, which has modules such as "
                        + names.orElseThrow().some();
        return new FormatException(
                path,
                unknown.size() + " of its " + all + " modules are not in "
                        + base.get().path() + ": " + String.join(", ", some) + advice);
    }

    /** The weights of the base that modules adapt, where there is a base. */
    interface Weights {
        Optional<Shape> of(String module);
    }

    @Override
    public void close() {
        file.close();
    }
}
