package dev.adapt.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.terminal.Release;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.io.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;

/**
 * What the steps of a recipe did when they last ran, in a file beside the recipe: their words, the digests of their inputs,
 * their exit codes, what they printed, and the digests of the files that they wrote. Open, it keeps other runs of the recipe
 * out.
 */
final class RunRecord implements AutoCloseable {
    private static final String ENDING = ".record.json";

    private final Path file;
    private final List<RunSteps.Step> steps;
    private final Path lockFile;
    private final FileChannel lock;
    private final ArrayNode before = new JsonMapper().createArrayNode();
    private final ArrayNode now = new JsonMapper().createArrayNode();

    /** Digests of the files that steps wrote, by the file or folder that a command committed; real paths. */
    private final Map<Path, Map<Path, String>> written = new TreeMap<>();

    private RunRecord(Path file, List<RunSteps.Step> steps, Path lockFile, FileChannel lock) {
        this.file = file;
        this.steps = steps;
        this.lockFile = lockFile;
        this.lock = lock;
    }

    /** The record of a recipe. */
    static Path of(Path recipe) {
        return recipe.resolveSibling(recipe.getFileName() + ENDING);
    }

    /**
     * Reads the record of a recipe, or begins one.
     *
     * @throws UsageException if the recipe runs already
     * @throws FormatException if the file is no record
     */
    static RunRecord open(RunSteps recipe) throws IOException {
        Path file = of(recipe.file());
        Path lockFile = file.resolveSibling(file.getFileName() + ".lock");
        RunRecord record = new RunRecord(
                file,
                recipe.steps(),
                lockFile,
                FileChannel.open(lockFile, StandardOpenOption.CREATE, StandardOpenOption.WRITE));
        try {
            record.lock(recipe.file());
        } catch (IOException | RuntimeException e) {
            record.lock.close(); // the file is another run's
            throw e;
        }
        try {
            record.read();
            return record;
        } catch (IOException | RuntimeException e) {
            record.close();
            throw e;
        }
    }

    private void lock(Path recipe) throws IOException {
        try {
            if (lock.tryLock() != null) {
                return;
            }
        } catch (OverlappingFileLockException e) {
            throw new UsageException(recipe + " is being run by this process already; wait for its end");
        }
        throw new UsageException(recipe + " is being run already; wait for its end");
    }

    private void read() throws IOException {
        if (!Files.exists(file)) {
            return;
        }
        JsonNode root;
        try {
            root = JsonDocument.read(file).json();
        } catch (FormatException e) {
            throw new FormatException(
                    file, "is no record of adapt run (" + e.getMessage() + "); delete it to forget earlier runs", e);
        }
        if (!root.path("steps").isArray()) {
            throw new FormatException(file, "is no record of adapt run; move it to another name");
        }
        root.path("steps").forEach(before::add);
        for (Map.Entry<String, JsonNode> output : root.path("written").properties()) {
            Map<Path, String> files = new TreeMap<>();
            for (Map.Entry<String, JsonNode> own : output.getValue().properties()) {
                files.put(path(own.getKey()), own.getValue().asText());
            }
            written.put(path(output.getKey()), files);
        }
    }

    private Path path(String name) {
        try {
            return Path.of(name);
        } catch (InvalidPathException e) {
            throw new FormatException(file, "written", "\"" + name + "\" cannot be a file's name; delete the record");
        }
    }

    @Override
    public void close() throws IOException {
        Files.deleteIfExists(lockFile);
        lock.close();
    }

    Path file() {
        return file;
    }

    /** What a step depends on: it is skipped while this stays the same. */
    ObjectNode key(RunSteps.Step step) throws IOException {
        Release release = Release.here();
        ObjectNode key = new JsonMapper().createObjectNode();
        key.put("command", step.command());
        key.put("version", release.version() + " " + release.commit());
        key.put("folder", Path.of("").toAbsolutePath().toString());
        step.words().forEach(key.putArray("words")::add);
        ObjectNode inputs = key.putObject("inputs");
        for (Path input : step.inputs()) {
            for (Path each : files(input)) {
                if (!isMade(input, each)) {
                    inputs.put(each.toString(), digest(each));
                }
            }
        }
        return key;
    }

    /** The record of a step that has run with this key, ended well, and whose outputs are there. */
    Optional<JsonNode> done(RunSteps.Step step, ObjectNode key) {
        boolean there = step.outputs().stream().allMatch(Files::exists);
        for (JsonNode each : before) {
            if (there && each.path("key").equals(key) && each.path("exit_code").asInt(-1) == 0) {
                return Optional.of(each);
            }
        }
        return Optional.empty();
    }

    /**
     * Whether all that is in a step's outputs was written by earlier steps of this recipe and is as they left it, so that a
     * new run may replace it.
     *
     * @throws UsageException if only a part of it was
     */
    boolean replaces(RunSteps.Step step) throws IOException {
        boolean own = false;
        Optional<Path> other = Optional.empty();
        for (Path output : step.outputs()) {
            for (Path each : files(output)) {
                boolean known = isAsWritten(each);
                own |= known;
                other = known ? other : Optional.of(each);
            }
        }
        if (own && other.isPresent()) {
            throw new UsageException(other.get() + ", in the output of " + step.title()
                    + ", was changed or added since adapt run wrote that output; move it to another place"
                    + " (or delete it) and run again");
        }
        return own;
    }

    private boolean isAsWritten(Path path) throws IOException {
        Path real = path.toRealPath();
        for (Map<Path, String> files : written.values()) {
            if (files.containsKey(real) && digest(real).equals(files.get(real))) {
                return true;
            }
        }
        return false;
    }

    /** Deletes what other steps wrote into a step's output folder, which is about to be written anew. */
    void clear(RunSteps.Step step) throws IOException {
        for (Path output : step.outputs()) {
            if (Files.isDirectory(output)) {
                Path folder = output.toRealPath();
                for (Path other : List.copyOf(written.keySet())) {
                    if (!other.equals(folder) && other.startsWith(folder)) {
                        delete(other, folder);
                    }
                }
            }
        }
    }

    /** Deletes a step's output, and the folders above it that are then empty, up to {@code top}. */
    private void delete(Path output, Path top) throws IOException {
        for (Path each : written.getOrDefault(output, Map.of()).keySet()) {
            boolean inside = each.startsWith(output);
            if (inside && Files.isRegularFile(each, LinkOption.NOFOLLOW_LINKS) && isAsWritten(each)) {
                Files.delete(each);
            }
        }
        written.remove(output);
        for (Path each = output; !each.equals(top); each = Objects.requireNonNull(each.getParent())) {
            boolean folder = Files.isDirectory(each, LinkOption.NOFOLLOW_LINKS);
            if (folder && FileTree.inside(each).isEmpty()) {
                Files.delete(each);
            }
        }
    }

    /** Remembers what a step wrote: for each file or folder that it committed, the files. */
    void wrote(Map<Path, List<Path>> committed) throws IOException {
        for (Map.Entry<Path, List<Path>> output : committed.entrySet()) {
            Map<Path, String> files = new TreeMap<>();
            for (Path each : output.getValue()) {
                if (Files.isRegularFile(each)) {
                    files.put(each.toRealPath(), digest(each));
                }
            }
            if (Files.exists(output.getKey())) {
                written.put(output.getKey().toRealPath(), files);
            }
        }
    }

    /** Adds a step's record. */
    void add(JsonNode record) {
        now.add(record);
    }

    /** Writes the file: what ran, and of steps that did not run this time what is known of them. */
    void write() throws IOException {
        ObjectNode root = new JsonMapper().createObjectNode();
        ArrayNode all = root.putArray("steps");
        all.addAll(now);
        for (JsonNode each : before) {
            boolean replaced = false;
            for (JsonNode own : now) {
                replaced |=
                        own.path("key").path("words").equals(each.path("key").path("words"));
            }
            if (!replaced) {
                all.add(each);
            }
        }
        ObjectNode outputs = root.putObject("written");
        written.forEach((output, files) -> {
            ObjectNode own = outputs.putObject(output.toString());
            files.forEach((each, digest) -> own.put(each.toString(), digest));
        });
        try (OutputFile pending = Outputs.replacing().file(file)) {
            pending.text(root.toPrettyString() + "\n");
            pending.commit();
        }
    }

    ArrayNode steps() {
        return now;
    }

    /** Whether a file in an input's folder was written there by a step, or will be: it is no part of the input. */
    private boolean isMade(Path input, Path each) throws IOException {
        Path folder = input.toRealPath();
        Path real = each.toRealPath();
        for (RunSteps.Step step : steps) {
            for (Path output : step.outputs()) {
                if (isIn(output.toAbsolutePath().normalize(), folder, real)) {
                    return true;
                }
                if (Files.exists(output) && isIn(output.toRealPath(), folder, real)) {
                    return true;
                }
            }
        }
        return written.keySet().stream().anyMatch(output -> isIn(output, folder, real));
    }

    private static boolean isIn(Path output, Path folder, Path file) {
        return file.startsWith(output) && !folder.startsWith(output);
    }

    /** A file, or the files of a folder. */
    static List<Path> files(Path path) throws IOException {
        if (!Files.isDirectory(path)) {
            return Files.isRegularFile(path) ? List.of(path) : List.of();
        }
        Path real = path.toRealPath(); // else a link to a folder would seem empty
        return FileTree.inside(real).stream()
                .filter(Files::isRegularFile)
                .map(each -> path.resolve(real.relativize(each)))
                .toList();
    }

    private static String digest(Path path) throws IOException {
        InputFile.found(path);
        try (InputStream in = Files.newInputStream(path)) {
            return Sha256.hex(in);
        }
    }
}
