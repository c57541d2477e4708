package dev.adapt.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.terminal.Release;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.io.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.TreeSet;

/**
 * What the steps of a recipe did when they last ran, in a file beside the recipe: their words, the digests of their inputs,
 * their exit codes and what they printed.
 */
final class RunRecord {
    private static final String ENDING = ".record.json";

    private final Path file;
    private final List<RunSteps.Step> steps;
    private final ArrayNode before;
    private final ArrayNode now = new JsonMapper().createArrayNode();

    /** Files that steps wrote into the folders of inputs: they are no part of these inputs. */
    private final TreeSet<String> made = new TreeSet<>();

    private RunRecord(Path file, List<RunSteps.Step> steps, ArrayNode before) {
        this.file = file;
        this.steps = steps;
        this.before = before;
    }

    static RunRecord of(RunSteps recipe) throws IOException {
        Path file = recipe.file().resolveSibling(recipe.file().getFileName() + ENDING);
        ArrayNode before = new JsonMapper().createArrayNode();
        RunRecord record = new RunRecord(file, recipe.steps(), before);
        if (Files.exists(file)) {
            ObjectNode root = JsonDocument.read(file).json();
            root.path("steps").forEach(before::add);
            root.path("made").forEach(name -> record.made.add(name.asText()));
        }
        return record;
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

    /** Whether the outputs of a step are those of an earlier run of this recipe, which a new run may replace. */
    boolean wrote(RunSteps.Step step) {
        for (JsonNode each : before) {
            for (JsonNode output : each.path("outputs")) {
                if (step.outputs().contains(Path.of(output.asText()))) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Deletes what other steps of an earlier run wrote into a step's output folder, which is about to be written anew. */
    void clear(RunSteps.Step step) throws IOException {
        TreeSet<String> names = new TreeSet<>(made);
        before.forEach(each -> each.path("outputs").forEach(output -> names.add(output.asText())));
        for (String name : names) {
            Path path = Path.of(name);
            boolean inside =
                    step.outputs().stream().anyMatch(output -> !path.equals(output) && path.startsWith(output));
            if (inside && Files.isRegularFile(path)) {
                Files.delete(path);
            }
        }
    }

    /** The files that the inputs of all steps hold, for {@link #noteMade}. */
    NavigableSet<String> inventory() throws IOException {
        TreeSet<String> names = new TreeSet<>();
        for (RunSteps.Step step : steps) {
            for (Path input : step.inputs()) {
                files(input).forEach(each -> names.add(each.toString()));
            }
        }
        return names;
    }

    /** Remembers the files that are in folders of inputs since {@code before}, unless the step was to make that folder. */
    void noteMade(RunSteps.Step step, NavigableSet<String> before) throws IOException {
        for (String name : inventory()) {
            boolean own = step.outputs().stream()
                    .anyMatch(
                            output -> Files.isDirectory(output) && Path.of(name).startsWith(output));
            if (!own && !before.contains(name)) {
                made.add(name);
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
        made.forEach(root.putArray("made")::add);
        try (OutputFile pending = Outputs.replacing().file(file)) {
            pending.text(root.toPrettyString() + "\n");
            pending.commit();
        }
    }

    ArrayNode steps() {
        return now;
    }

    /** Whether a file in an input's folder is an output of the recipe. */
    private boolean isMade(Path input, Path each) {
        boolean output = steps.stream()
                .flatMap(step -> step.outputs().stream())
                .anyMatch(path -> each.startsWith(path) && !input.startsWith(path));
        return output || made.contains(each.toString());
    }

    private static List<Path> files(Path input) throws IOException {
        return Files.isDirectory(input)
                ? FileTree.inside(input).stream()
                        .filter(Files::isRegularFile)
                        .sorted()
                        .toList()
                : Files.isRegularFile(input) ? List.of(input) : List.of();
    }

    private static String digest(Path path) throws IOException {
        InputFile.found(path);
        try (InputStream in = Files.newInputStream(path)) {
            return Sha256.hex(in);
        }
    }
}
