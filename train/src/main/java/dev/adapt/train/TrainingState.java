package dev.adapt.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Scores;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeMap;

/**
 * A run between two steps: all that the steps after it depend on. A run that goes on from it writes the same adapter as one
 * that was not interrupted.
 *
 * @param settings what the run was begun with; another cannot go on from it
 * @param step steps that are done
 * @param best the epoch whose values are kept, 0 if none is finished
 * @param draws how many masks each replica's dropout has drawn
 * @param trained the trained tensors, by the names of the model's leaves
 * @param first the optimizer's first moments, by the same names
 * @param second its second moments
 * @param kept the values of the best epoch
 * @param lines the lines of the training log
 */
record TrainingState(
        ObjectNode settings,
        int step,
        int best,
        List<Long> draws,
        List<Double> losses,
        List<Scores> scores,
        List<String> lines,
        Map<String, FloatTensor> trained,
        Map<String, FloatTensor> first,
        Map<String, FloatTensor> second,
        Map<String, FloatTensor> kept) {
    static final String TENSORS = "training_state.safetensors";
    static final String DOCUMENT = "training_state.json";
    static final Set<String> FILES = Set.of(TENSORS, DOCUMENT);

    private static final JsonMapper JSON = new JsonMapper();

    /** Writes the files of a checkpoint. */
    void write(OutputFolder folder) throws IOException {
        Map<String, FloatTensor> all = new TreeMap<>();
        trained.forEach((name, value) -> all.put("trained." + name, value));
        first.forEach((name, value) -> all.put("first." + name, value));
        second.forEach((name, value) -> all.put("second." + name, value));
        kept.forEach((name, value) -> all.put("kept." + name, value));
        SafetensorsWriter.write(folder.path().resolve(TENSORS), all, Map.of());
        ObjectNode document = JSON.createObjectNode();
        document.put("format", "adapt training state 1");
        document.put("step", step);
        document.put("best_epoch", best);
        ArrayNode masks = document.putArray("dropout_draws");
        draws.forEach(masks::add);
        ArrayNode lossesOfSteps = document.putArray("losses");
        losses.forEach(lossesOfSteps::add);
        ArrayNode evaluations = document.putArray("scores");
        for (Scores own : scores) {
            ObjectNode node = evaluations.addObject();
            node.put("loss", own.loss());
            own.values().forEach((metric, value) -> node.put(metric.name(), value));
        }
        ArrayNode log = document.putArray("log");
        lines.forEach(log::add);
        document.set("settings", settings);
        folder.text(DOCUMENT, document.toPrettyString() + "\n");
    }

    /**
     * Reads a checkpoint.
     *
     * @throws FormatException if its files are not what {@link #write} wrote
     */
    static TrainingState read(Path folder) throws IOException {
        Path file = folder.resolve(DOCUMENT);
        JsonDocument document = JsonDocument.read(InputFile.named(file), Limit.INDEX);
        ObjectNode json = document.json();
        if (!json.path("settings").isObject()) {
            throw new FormatException(file, "is no checkpoint of a training run: it has no settings");
        }
        Map<String, Map<String, FloatTensor>> groups = new LinkedHashMap<>();
        try (SafetensorsFile tensors = SafetensorsFile.open(folder.resolve(TENSORS))) {
            tensors.tensors().forEach(tensor -> {
                String[] parts = tensor.name().split("\\.", 2);
                groups.computeIfAbsent(parts[0], absent -> new LinkedHashMap<>())
                        .put(parts[parts.length - 1], new FloatTensor(tensor.shape(), tensor.toFloats()));
            });
        }
        return new TrainingState(
                (ObjectNode) json.get("settings"),
                document.integer("step", -1, 1, Integer.MAX_VALUE),
                document.integer("best_epoch", 0, 0, Integer.MAX_VALUE),
                numbers(file, json, "dropout_draws").stream()
                        .map(JsonNode::asLong)
                        .toList(),
                numbers(file, json, "losses").stream().map(JsonNode::asDouble).toList(),
                scores(file, json),
                list(file, json, "log").stream().map(JsonNode::asText).toList(),
                groups.getOrDefault("trained", Map.of()),
                groups.getOrDefault("first", Map.of()),
                groups.getOrDefault("second", Map.of()),
                groups.getOrDefault("kept", Map.of()));
    }

    private static List<Scores> scores(Path file, ObjectNode json) {
        List<Scores> scores = new ArrayList<>();
        for (JsonNode node : list(file, json, "scores")) {
            SequencedMap<Metric, Double> values = new LinkedHashMap<>();
            for (Metric metric : Metric.values()) {
                if (node.path(metric.name()).isNumber()) {
                    values.put(metric, node.get(metric.name()).asDouble());
                }
            }
            scores.add(new Scores(node.path("loss").asDouble(), values));
        }
        return scores;
    }

    private static List<JsonNode> numbers(Path file, ObjectNode json, String field) {
        List<JsonNode> values = list(file, json, field);
        if (!values.stream().allMatch(JsonNode::isNumber)) {
            throw new FormatException(file, field, "expected numbers only");
        }
        return values;
    }

    private static List<JsonNode> list(Path file, ObjectNode json, String field) {
        if (!json.path(field).isArray()) {
            throw new FormatException(
                    file, field, "expected a list, found " + json.path(field).getNodeType());
        }
        List<JsonNode> values = new ArrayList<>();
        json.get(field).forEach(values::add);
        return values;
    }

    /**
     * Makes sure that a run can go on from here.
     *
     * @throws UsageException naming the first setting that differs
     */
    void requireSame(Path folder, ObjectNode now) {
        now.properties().forEach(entry -> {
            JsonNode then = settings.path(entry.getKey());
            // a number is of another class where it was read: 42L and 42
            if (!then.toString().equals(entry.getValue().toString())) {
                throw new UsageException(
                        "resume " + folder,
                        "was begun with " + entry.getKey() + " " + shown(then) + ", now it is "
                                + shown(entry.getValue()) + "; give the same options as then");
            }
        });
    }

    private static String shown(JsonNode node) {
        return node.isMissingNode() ? "unset" : node.toString();
    }

    /**
     * Makes sure that the tensors are those of a model.
     *
     * @param shapes of the trained tensors, by name
     * @throws FormatException naming the first that is missing or has another shape
     */
    void requireFit(Path folder, Map<String, List<Long>> shapes) {
        Path file = folder.resolve(TENSORS);
        List<Map<String, FloatTensor>> groups = new ArrayList<>(List.of(trained, first, second));
        if (best > 0) {
            groups.add(kept);
        }
        for (Map<String, FloatTensor> group : groups) {
            shapes.forEach((name, shape) -> {
                FloatTensor found = group.get(name);
                if (found == null || !found.shape().dims().equals(shape)) {
                    throw new FormatException(
                            file,
                            name,
                            "expected shape " + shape + ", found "
                                    + (found == null ? "no such tensor" : found.shape()));
                }
            });
        }
        if (scores.size() <= best && best > 0 && !scores.isEmpty()) {
            throw new FormatException(folder.resolve(DOCUMENT), "best_epoch", "has no scores");
        }
    }
}
