package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * An open checkpoint: a Hugging Face folder with one {@code model.safetensors} or shards and their index, under
 * these names or those that diffusers gives them, or a single safetensors file. Where a folder has both, the single file counts and the shards do not, as for transformers.
 */
public final class Checkpoint implements AutoCloseable {
    /** The weights' file in a folder that is not sharded. */
    public static final String SINGLE = "model.safetensors";

    /** The model's description in a checkpoint folder. */
    public static final String CONFIG = "config.json";

    /** The index of a sharded folder. */
    public static final String INDEX = ShardIndex.FILE;

    private final Path path;
    private final WeightFiles names;
    private final List<SafetensorsFile> files;
    private final Optional<ShardIndex> index;
    private final Optional<JsonDocument> config;
    private final SequencedMap<String, TensorView> tensors;
    private final List<String> notes = new ArrayList<>();

    private Checkpoint(
            Path path,
            WeightFiles names,
            List<SafetensorsFile> files,
            SequencedMap<String, TensorView> tensors,
            Optional<ShardIndex> index,
            Optional<JsonDocument> config) {
        this.path = path;
        this.names = names;
        this.files = List.copyOf(files);
        this.tensors = tensors;
        this.index = index;
        this.config = config;
        index.ifPresent(this::requireMatch);
    }

    /**
     * Opens a folder or a file, to be read.
     *
     * @throws NoSuchFileException if there is none, or the folder holds no weights
     * @throws FormatException if a file in it is broken, or the shards and their index say different things
     * @throws UnfinishedChangeException if a change of it in place has not ended
     */
    public static Checkpoint open(Path path) throws IOException {
        return open(path, false);
    }

    /** Opens the checkpoint that a journal has locked, to be changed. */
    public static Checkpoint open(PatchJournal journal) throws IOException {
        Checkpoint checkpoint = open(journal.checkpoint(), true);
        if (journal.recovered()) {
            checkpoint.notes.add("a change of " + journal.checkpoint() + " in place had been stopped; it was undone");
        }
        return checkpoint;
    }

    private static Checkpoint open(Path path, boolean locked) throws IOException {
        boolean folder = Files.isDirectory(path);
        requireExists(path);
        WeightFiles names = folder ? WeightFiles.in(path) : WeightFiles.TRANSFORMERS;
        if (!locked) {
            PatchJournal.requireNone(path, folder ? path.resolve(names.single()) : path);
        }
        Path home = folder ? path : path.resolveSibling(".").normalize();
        Path configFile = home.resolve(CONFIG);
        Optional<JsonDocument> config =
                Files.exists(configFile) ? Optional.of(JsonDocument.read(configFile)) : Optional.empty();
        boolean sharded = folder && !Files.exists(path.resolve(names.single()));
        Optional<ShardIndex> index = sharded ? Optional.of(readIndex(path, names)) : Optional.empty();
        // their snapshots are taken before it is known that no change is at work: one that works then shows later
        List<InputFile> sources = sources(path, names, folder, index);
        if (!locked) {
            requireNoChange(path, sources.stream().map(InputFile::path).toList());
        }
        List<SafetensorsFile> files = new ArrayList<>();
        try {
            for (InputFile source : sources) {
                files.add(SafetensorsFile.open(source));
            }
            Checkpoint checkpoint = new Checkpoint(path, names, files, tensors(files), index, config);
            if (folder) {
                // a file alone may be one shard of many
                config.ifPresent(checkpoint::requireSizes);
            }
            if (folder && !sharded && Files.exists(path.resolve(names.index()))) {
                checkpoint.notes.add(path + " holds both " + names.single() + " and " + names.index()
                        + ": the single file is read, as transformers does, and the shards are not");
            }
            return checkpoint;
        } catch (IOException | RuntimeException e) {
            files.forEach(SafetensorsFile::close);
            throw e;
        }
    }

    private static void requireExists(Path path) throws NoSuchFileException {
        if (!Files.exists(path)) {
            throw new NoSuchFileException(path.toString());
        }
    }

    /** The names of a checkpoint's weights' files, which all lie in one folder. */
    static SortedSet<String> shards(Path path) throws IOException {
        requireExists(path);
        if (!Files.isDirectory(path)) {
            return new TreeSet<>(Set.of(String.valueOf(path.getFileName())));
        }
        WeightFiles names = WeightFiles.in(path);
        return Files.exists(path.resolve(names.single()))
                ? new TreeSet<>(Set.of(names.single()))
                : readIndex(path, names).files();
    }

    private static List<InputFile> sources(Path path, WeightFiles names, boolean folder, Optional<ShardIndex> index)
            throws IOException {
        if (index.isEmpty()) {
            return List.of(folder ? InputFile.found(path.resolve(names.single())) : InputFile.named(path));
        }
        List<InputFile> sources = new ArrayList<>();
        for (String name : index.get().files()) {
            sources.add(shard(path, names, name));
        }
        return sources;
    }

    /** Through links, files of another folder are read, where the journal of a change would be. */
    private static void requireNoChange(Path path, List<Path> files) throws IOException {
        for (Path file : files) {
            PatchJournal.requireNone(path, file);
            PatchJournal.requireNone(path, file.toRealPath());
        }
    }

    /**
     * Checks that nobody has changed the weights since they were opened, so that what was read is one checkpoint.
     *
     * @throws UnfinishedChangeException if a change in place is at work
     * @throws FormatException if there was a change
     */
    public void requireUnchanged() throws IOException {
        requireNoChange(path, files.stream().map(SafetensorsFile::path).toList());
        for (Snapshot snapshot : snapshots()) {
            snapshot.requireUnchanged();
        }
    }

    /**
     * The checkpoint that a file of another layout amounts to. Closing it closes the file.
     *
     * @param folder with the config.json and the small files
     * @param names of each of the file's tensors, where it has several under all of them
     */
    public static Checkpoint named(
            Path folder, SafetensorsFile file, JsonDocument config, Map<String, List<String>> names) {
        SequencedMap<String, TensorView> tensors = new LinkedHashMap<>();
        for (TensorView tensor : file.tensors()) {
            for (String name : names.getOrDefault(tensor.name(), List.of())) {
                tensors.put(name, tensor.named(name));
            }
        }
        return new Checkpoint(
                folder, WeightFiles.TRANSFORMERS, List.of(file), tensors, Optional.empty(), Optional.of(config));
    }

    private static SequencedMap<String, TensorView> tensors(List<SafetensorsFile> files) {
        SequencedMap<String, TensorView> tensors = new LinkedHashMap<>();
        for (SafetensorsFile file : files) {
            for (TensorView tensor : file.tensors()) {
                if (tensors.putIfAbsent(tensor.name(), tensor) != null) {
                    throw new FormatException(file.path(), tensor.name(), "stands in another shard too");
                }
            }
        }
        return tensors;
    }

    private void requireSizes(JsonDocument own) {
        DeclaredSizes.check(
                own,
                tensors.size(),
                tensors.values().stream()
                        .mapToLong(tensor -> tensor.shape().elements())
                        .sum());
    }

    private static ShardIndex readIndex(Path folder, WeightFiles names) throws IOException {
        Path index = folder.resolve(names.index());
        if (Files.exists(index)) {
            return ShardIndex.read(index);
        }
        String reason = "holds neither " + SINGLE + " nor " + INDEX + ": not a checkpoint folder";
        if (Files.exists(folder.resolve("adapter_config.json"))) {
            reason +=
                    ", but that of an adapter; if that is a model whose layers share weights (LORS), adapt merge makes a checkpoint of it";
        }
        try (Stream<Path> inside = Files.list(folder)) {
            String pickled = inside.map(file -> file.getFileName().toString())
                    .filter(Checkpoint::isPickled)
                    .sorted()
                    .findFirst()
                    .map(name -> "holds its weights as " + name
                            + ", a pickle, which can run code when it is read, and no "
                            + SINGLE + "; save them as safetensors (with transformers: load the model where you trust"
                            + " it, and save_pretrained)")
                    .orElse(reason);
            throw new NoSuchFileException(folder.toString(), null, pickled);
        }
    }

    private static InputFile shard(Path folder, WeightFiles names, String name) throws IOException {
        Path index = folder.resolve(names.index());
        Path shard = folder.resolve(name);
        if (!Files.exists(shard)) {
            throw new NoSuchFileException(shard.toString(), null, "is named in " + index + " but does not exist");
        }
        return InputFile.found(shard);
    }

    /** Each tensor lies where the index says, and the index says where each lies. */
    private void requireMatch(ShardIndex index) {
        Path indexFile = path.resolve(names.index());
        index.weightMap().forEach((name, file) -> {
            TensorView tensor = tensors.get(name);
            if (tensor == null) {
                throw new FormatException(
                        indexFile,
                        name,
                        "is said to lie in " + file + ", which does not hold it; nor does another shard");
            }
            if (!tensor.file().equals(path.resolve(file))) {
                throw new FormatException(
                        indexFile,
                        name,
                        "is said to lie in " + file + ", but lies in "
                                + tensor.file().getFileName());
            }
        });
        for (TensorView tensor : tensors.values()) {
            if (!index.weightMap().containsKey(tensor.name())) {
                throw new FormatException(
                        tensor.file(),
                        tensor.name(),
                        "lies in this shard, but is missing in the weight_map of " + names.index());
            }
        }
        long held = tensors.values().stream()
                .mapToLong(tensor -> tensor.info().bytes())
                .sum();
        index.totalSize().ifPresent(said -> {
            if (said != held) {
                notes.add(indexFile + " says that the tensors have " + said + " bytes, they have " + held
                        + "; nothing depends on it");
            }
        });
    }

    /** The folder or file that was opened. */
    public Path path() {
        return path;
    }

    /** The states of its safetensors files before they were opened. */
    public List<Snapshot> snapshots() {
        return files.stream().map(SafetensorsFile::snapshot).toList();
    }

    /** What its weights' files are called. */
    public WeightFiles names() {
        return names;
    }

    /** Its safetensors files. */
    public List<SafetensorsFile> files() {
        return files;
    }

    /** What a file is called in a checkpoint folder. */
    public String nameOf(SafetensorsFile file) {
        String name = String.valueOf(file.path().getFileName());
        return index.isPresent() ? name : names.single();
    }

    /** What the shards' index says; empty where there is one file. */
    public Optional<ShardIndex> index() {
        return index;
    }

    /** What a user should know of how it was read, in sentences. */
    public List<String> notes() {
        return List.copyOf(notes);
    }

    /** Its config.json as it stands, which for a single file is the one beside it. */
    public Optional<JsonDocument> config() {
        return config;
    }

    /**
     * Its config.json.
     *
     * @throws NoSuchFileException if it has none
     */
    public JsonDocument requireConfig() throws NoSuchFileException {
        return config.orElseThrow(() -> new NoSuchFileException(
                path.toString(), null, "has no " + CONFIG + ", which tells the model's architecture"));
    }

    /** All tensors by name, file by file in the order of their data. */
    public SequencedMap<String, TensorView> tensors() {
        return tensors;
    }

    /** The files of the folder that belong to the model beside weights and config. */
    public Companions companions() {
        return new Companions(path);
    }

    /** The names of its {@link #companions}. */
    public Set<String> companionNames() throws IOException {
        return companions().names();
    }

    /**
     * Copies its {@link #companions} into another folder.
     *
     * @throws FormatException if one is a link out of the folder
     */
    public void copyCompanions(Path folder) throws IOException {
        companions().copyTo(folder, Set.of());
    }

    static boolean isPickled(String name) {
        return (name.startsWith("pytorch_model") && name.endsWith(".bin"))
                || name.endsWith(".pt")
                || name.endsWith(".pth");
    }

    @Override
    public void close() {
        files.forEach(SafetensorsFile::close);
    }
}
