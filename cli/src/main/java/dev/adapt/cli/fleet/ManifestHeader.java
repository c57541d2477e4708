package dev.adapt.cli.fleet;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Snapshot;
import java.nio.file.Path;
import java.util.List;

/**
 * What all adapters of a fleet have in common: the first line of its manifest. A run that goes on must have the same.
 *
 * @param options those that change what is written
 */
record ManifestHeader(String command, Path base, List<Snapshot> files, List<String> options) {
    ManifestHeader {
        files = List.copyOf(files);
        options = List.copyOf(options);
    }

    static ManifestHeader of(String command, Checkpoint base, List<String> options) {
        return new ManifestHeader(command, base.path(), base.snapshots(), options);
    }

    /** As one line of JSON. */
    String line() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("fleet", command).put("base", base.toString());
        ArrayNode list = json.putArray("base_files");
        files.forEach(file -> list.addObject()
                .put("name", String.valueOf(file.path().getFileName()))
                .put("bytes", file.size())
                .put("modified", file.modified().toString()));
        ArrayNode given = json.putArray("options");
        options.forEach(given::add);
        return json.toString();
    }
}
