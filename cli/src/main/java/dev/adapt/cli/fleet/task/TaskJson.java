package dev.adapt.cli.fleet.task;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.JsonDocument;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/** Tasks as lines of JSON. */
public final class TaskJson {
    /** What messages call the source of tasks. */
    private static final Path SOURCE = Path.of("standard input");

    private TaskJson() {}

    public static String line(Task task) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        switch (task) {
            case Task.Merge merge ->
                json.put("task", "merge")
                        .put("base", merge.base().toString())
                        .put("threads", merge.threads())
                        .put("force", merge.force())
                        .put("flush", merge.flush())
                        .put("overwrite", merge.overwrite());
            case Task.Shard shard ->
                json.put("task", "merge-shard")
                        .put("base", shard.base().toString())
                        .put("file", shard.file())
                        .put("threads", shard.threads())
                        .put("force", shard.force())
                        .put("flush", shard.flush());
            case Task.Run run -> {
                json.put("task", run.single().key())
                        .put("base", run.base().toString())
                        .put("overwrite", run.overwrite());
                ArrayNode options = json.putArray("options");
                run.options().forEach(options::add);
            }
        }
        json.put("attempt", task.attempt());
        ArrayNode items = json.putArray("items");
        task.items().forEach(item -> items.add(item.json()));
        return json.toString();
    }

    /**
     * Reads a line.
     *
     * @throws dev.adapt.formats.FormatException naming the field that is missing or wrong
     */
    public static Task parse(String line) {
        JsonDocument json = JsonDocument.parse(SOURCE, line.getBytes(StandardCharsets.UTF_8));
        List<Item> items = json.objects("items").stream().map(Item::of).toList();
        int attempt = json.positive("attempt");
        return switch (json.requireString("task")) {
            case "merge" ->
                new Task.Merge(
                        Path.of(json.requireString("base")),
                        items,
                        json.positive("threads"),
                        json.flag("force", false),
                        json.flag("flush", true),
                        json.flag("overwrite", false),
                        attempt);
            case "merge-shard" ->
                new Task.Shard(
                        Path.of(json.requireString("base")),
                        items,
                        json.integer("file", 0, 0, Integer.MAX_VALUE),
                        json.positive("threads"),
                        json.flag("force", false),
                        json.flag("flush", true),
                        attempt);
            case String key ->
                new Task.Run(
                        Single.named(key)
                                .orElseThrow(() -> json.wrong("task", "merge, merge-shard or a command of a fleet")),
                        Path.of(json.requireString("base")),
                        items,
                        json.names("options"),
                        json.flag("overwrite", false),
                        attempt);
        };
    }
}
