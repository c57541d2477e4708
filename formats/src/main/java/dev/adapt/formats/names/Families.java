package dev.adapt.formats.names;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.JsonDocument;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** The known families of models: {@code families.json}, of which only the entry that is asked for is taken apart. */
public final class Families {
    private static final String FILE = "families.json";

    private final ObjectNode otherwise;
    private final JsonNode entries;

    private Families(JsonDocument document) {
        this.otherwise = document.object("default").json();
        this.entries = document.json().path("families");
    }

    /** Reads the resource. */
    public static Families read() {
        return new Families(JsonDocument.resource(Families.class, FILE));
    }

    /** The family of a {@code model_type}. */
    public Optional<Family> ofType(String modelType) {
        for (JsonNode entry : entries) {
            for (JsonNode type : entry.path("types")) {
                if (type.textValue().equals(modelType)) {
                    return Optional.of(Family.of((ObjectNode) entry, otherwise));
                }
            }
        }
        return Optional.empty();
    }

    /** The family whose embedding table, or another module that tells it, is among these tensors under a prefix of its own. */
    Optional<Family> ofTensors(Set<String> tensors) {
        for (JsonNode entry : entries) {
            List<String> tables = new ArrayList<>(Family.strings(entry.path("tables")));
            tables.addAll(Family.strings(entry.path("signs")));
            for (String prefix : Family.strings(entry.path("prefixes"))) {
                if (tables.stream().anyMatch(table -> tensors.contains(prefix + table + ".weight"))) {
                    return Optional.of(Family.of((ObjectNode) entry, otherwise));
                }
            }
        }
        return Optional.empty();
    }

    /** What holds for a family that is not known. */
    public Family unknown() {
        return Family.of(otherwise, otherwise);
    }
}
