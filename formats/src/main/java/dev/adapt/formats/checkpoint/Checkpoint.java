package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.JsonDocument;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * An open checkpoint: a Hugging Face folder with one {@code model.safetensors} or shards and their index, or a single
 * safetensors file.
 */
public final class Checkpoint implements AutoCloseable {
    /** The weights' file in a folder that is not sharded. */
    public static final String SINGLE = "model.safetensors";

    /** The index of a sharded folder. */
    public static final String INDEX = "model.safetensors.index.json";

    private final Path path;
    private final List<SafetensorsFile> files;
    private final Optional<ModelConfig> config;
    private final SequencedMap<String, TensorView> tensors;

    private Checkpoint(Path path, List<SafetensorsFile> files, Optional<ModelConfig> config) {
        this.path = path;
        this.files = List.copyOf(files);
        this.config = config;
        this.tensors = new LinkedHashMap<>();
        for (SafetensorsFile file : files) {
            for (TensorView tensor : file.tensors()) {
                if (tensors.putIfAbsent(tensor.name(), tensor) != null) {
                    throw new FormatException(file.path(), tensor.name(), "stands in another shard too");
                }
            }
        }
    }

    /**
     * Opens a folder or a file.
     *
     * @throws NoSuchFileException if there is none, or the folder holds no weights
     * @throws FormatException if a file in it is broken
     */
    public static Checkpoint open(Path path) throws IOException {
        boolean folder = Files.isDirectory(path);
        if (!folder && !Files.exists(path)) {
            throw new NoSuchFileException(path.toString());
        }
        Path home = folder ? path : path.resolveSibling(".").normalize();
        List<Path> weights = folder ? weightFiles(path) : List.of(path);
        Path configFile = home.resolve(ModelConfig.FILE);
        Optional<ModelConfig> config =
                Files.exists(configFile) ? Optional.of(ModelConfig.read(configFile)) : Optional.empty();
        List<SafetensorsFile> files = new ArrayList<>();
        try {
            for (Path file : weights) {
                files.add(SafetensorsFile.open(file));
            }
            return new Checkpoint(path, files, config);
        } catch (IOException | RuntimeException e) {
            files.forEach(SafetensorsFile::close);
            throw e;
        }
    }

    private static List<Path> weightFiles(Path folder) throws IOException {
        if (Files.exists(folder.resolve(SINGLE))) {
            return List.of(folder.resolve(SINGLE));
        }
        Path index = folder.resolve(INDEX);
        if (!Files.exists(index)) {
            throw new NoSuchFileException(
                    folder.toString(), null, "holds neither " + SINGLE + " nor " + INDEX + ": not a checkpoint folder");
        }
        TreeSet<String> names = new TreeSet<>();
        JsonDocument.read(index).json().path("weight_map").forEach(file -> names.add(file.asText()));
        if (names.isEmpty()) {
            throw new FormatException(index, "weight_map", "expected tensor names with their files, found none");
        }
        List<Path> shards = new ArrayList<>();
        for (String name : names) {
            shards.add(shard(folder, index, name));
        }
        return shards;
    }

    private static Path shard(Path folder, Path index, String name) throws IOException {
        Path shard = folder.resolve(name);
        boolean plain = !name.isEmpty()
                && !name.contains("/")
                && !name.contains("\\")
                && !name.equals("..")
                && !Path.of(name).isAbsolute();
        if (!plain) {
            throw new FormatException(
                    index,
                    "weight_map",
                    "names \"" + name + "\": expected the plain name of a file in the same folder");
        }
        if (!Files.exists(shard)) {
            throw new NoSuchFileException(shard.toString(), null, "is named in " + index + " but does not exist");
        }
        if (!shard.toRealPath().startsWith(folder.toRealPath())) {
            throw new FormatException(index, "weight_map", "names \"" + name + "\", a link out of the folder");
        }
        return shard;
    }

    /** The folder or file that was opened. */
    public Path path() {
        return path;
    }

    /** Its safetensors files. */
    public List<SafetensorsFile> files() {
        return files;
    }

    /** Its config.json, which for a single file is the one beside it. */
    public Optional<ModelConfig> config() {
        return config;
    }

    /**
     * Its config.json.
     *
     * @throws NoSuchFileException if it has none
     */
    public ModelConfig requireConfig() throws NoSuchFileException {
        return config.orElseThrow(() -> new NoSuchFileException(
                path.toString(), null, "has no " + ModelConfig.FILE + ", which tells the model's architecture"));
    }

    /** All tensors by name, file by file in the order of their data. */
    public SequencedMap<String, TensorView> tensors() {
        return tensors;
    }

    /** The small files of the folder that belong to the model: everything but weights, config and subfolders. */
    public List<Path> companions() throws IOException {
        if (!Files.isDirectory(path)) {
            return List.of();
        }
        try (Stream<Path> inside = Files.list(path)) {
            return inside.filter(Files::isRegularFile)
                    .filter(file -> isCompanion(file.getFileName().toString()))
                    .sorted()
                    .toList();
        }
    }

    private static boolean isCompanion(String name) {
        return !name.startsWith(".")
                && !name.equals(ModelConfig.FILE)
                && !name.endsWith(".safetensors")
                && !name.endsWith(".safetensors.index.json")
                && !name.endsWith(".bin")
                && !name.endsWith(".onnx")
                && !name.endsWith(".onnx_data");
    }

    @Override
    public void close() {
        files.forEach(SafetensorsFile::close);
    }
}
