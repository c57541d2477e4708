package dev.adapt.formats.graph;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.JsonDocument;

/**
 * What a field means that a config.json lacks, by {@code model_type}: {@code defaults.json} holds the defaults of the
 * configuration classes of transformers 5.17, of the fields that a graph depends on, and the other names of fields that they
 * take. A field that is null keeps this value, as in transformers.
 */
final class ConfigDefaults {
    private static final String FILE = "defaults.json";

    private ConfigDefaults() {}

    /** The config with the fields that it lacks; unchanged if the type is unknown. */
    static JsonDocument complete(JsonDocument config, String modelType) {
        JsonNode own = JsonDocument.resource(ConfigDefaults.class, FILE).json().path(modelType);
        ObjectNode complete = config.json().deepCopy();
        own.path("aliases").properties().forEach(alias -> {
            if (config.has(alias.getKey())) {
                complete.set(alias.getValue().textValue(), config.json().get(alias.getKey()));
            }
        });
        own.path("fields").properties().forEach(field -> {
            if (!complete.has(field.getKey())) {
                complete.set(field.getKey(), field.getValue());
            }
        });
        return new JsonDocument(config.path(), complete);
    }
}
