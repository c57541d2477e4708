package dev.adapt.cli.fleet.task;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.checkpoint.ContentDigest;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;
import java.util.Optional;

/**
 * One adapter of a fleet and what becomes of it.
 *
 * @param name of the adapter's folder, unique in the fleet
 * @param adapter its folder
 * @param out the file or folder to write
 * @param made what an earlier run recorded; where the files are still that, they are kept
 */
public record Item(String name, Path adapter, Path out, Optional<Made> made) {
    /**
     * Digests of an adapter and of what was made from it.
     *
     * @param adapter SHA-256 of the adapter's files
     */
    public record Made(String adapter, ContentDigest output) {
        /** The digests in an object; empty where it has none. */
        static Optional<Made> of(JsonDocument json) {
            return json.has("sha256")
                    ? Optional.of(new Made(
                            json.requireString("adapter_sha256"),
                            new ContentDigest(
                                    json.whole("bytes").orElseThrow(() -> json.wrong("bytes", "an integer")),
                                    json.requireString("sha256"))))
                    : Optional.empty();
        }

        void writeTo(ObjectNode json) {
            json.put("adapter_sha256", adapter).put("bytes", output.bytes()).put("sha256", output.sha256());
        }
    }

    /** The same, with what an earlier run recorded. */
    public Item recorded(Optional<Made> recorded) {
        return new Item(name, adapter, out, recorded);
    }

    ObjectNode json() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("adapter", name).put("path", adapter.toString()).put("out", out.toString());
        made.ifPresent(own -> own.writeTo(json));
        return json;
    }

    static Item of(JsonDocument json) {
        return new Item(
                json.requireString("adapter"),
                Path.of(json.requireString("path")),
                Path.of(json.requireString("out")),
                Made.of(json));
    }
}
