package dev.adapt.cli.fleet.task;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A worker's answer about one adapter, and its line of the manifest.
 *
 * @param name of the adapter
 * @param adapter its folder
 * @param made digests of the adapter and of its output; empty where it failed
 * @param seconds of work; of adapters that share a reading of the base, each its share
 * @param attempt from 1
 * @param host that did the work
 * @param exitCode that the command for this adapter alone would end with
 * @param error one sentence; empty where it did not fail
 * @param notes what a user should know, in sentences
 */
public record Outcome(
        String name,
        Path adapter,
        Verdict verdict,
        Optional<Item.Made> made,
        double seconds,
        int attempt,
        String host,
        int exitCode,
        String error,
        List<String> notes) {
    public Outcome {
        notes = List.copyOf(notes);
    }

    /** As one line of JSON. */
    public String line() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("adapter", name).put("path", adapter.toString()).put("verdict", verdict.key());
        made.ifPresent(own -> own.writeTo(json));
        json.put("seconds", Math.round(seconds * 1e6) / 1e6)
                .put("attempt", attempt)
                .put("host", host);
        json.put("exit_code", exitCode);
        if (!error.isEmpty()) {
            json.put("error", error);
        }
        if (!notes.isEmpty()) {
            ArrayNode sentences = json.putArray("notes");
            notes.forEach(sentences::add);
        }
        return json.toString();
    }

    /**
     * Reads a line.
     *
     * @throws dev.adapt.formats.FormatException naming the field that is missing or wrong
     */
    public static Outcome of(JsonDocument line) {
        String verdict = line.requireString("verdict");
        return new Outcome(
                line.requireString("adapter"),
                Path.of(line.requireString("path")),
                Arrays.stream(Verdict.values())
                        .filter(each -> each.key().equals(verdict))
                        .findFirst()
                        .orElseThrow(() -> line.wrong("verdict", "ok, kept, different or failed")),
                Item.Made.of(line),
                line.number("seconds", 0),
                line.positive("attempt"),
                line.requireString("host"),
                line.integer("exit_code", 0, 0, 255),
                line.string("error").orElse(""),
                line.names("notes"));
    }
}
