package dev.adapt.formats.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.JsonDocument;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An adapter's {@code adapter_config.json}, with the fields all of PEFT's methods have. */
public record AdapterConfig(JsonDocument document) {
    /** The file's name in an adapter folder. */
    public static final String FILE = "adapter_config.json";

    /**
     * Reads an adapter_config.json.
     *
     * @throws dev.adapt.formats.FormatException if it is not a JSON object
     */
    public static AdapterConfig read(Path path) throws IOException {
        return new AdapterConfig(JsonDocument.read(path));
    }

    /** The file, for messages. */
    public Path path() {
        return document.path();
    }

    /** What PEFT calls the method. */
    public String peftType() {
        return document.string("peft_type").orElseThrow(() -> document.wrong("peft_type", "a string"));
    }

    /** The names of the modules that the adapter holds whole. */
    public List<String> modulesToSave() {
        List<String> modules = new ArrayList<>();
        document.json().path("modules_to_save").forEach(module -> modules.add(module.asText()));
        return modules;
    }

    /** A map from module patterns to numbers, in the file's order; empty where the field is missing. */
    Map<String, Double> pattern(String field) {
        Map<String, Double> pattern = new LinkedHashMap<>();
        JsonNode node = document.json().path(field);
        node.properties().forEach(entry -> {
            if (!entry.getValue().isNumber()) {
                throw document.wrong(field, "a number for each module pattern");
            }
            pattern.put(entry.getKey(), entry.getValue().doubleValue());
        });
        return pattern;
    }

    /**
     * Refuses options that change what the adapter computes and that we do not implement.
     *
     * @throws dev.adapt.formats.FormatException naming the first that is set
     */
    void refuse(String... fields) {
        for (String field : fields) {
            if (document.says(field)) {
                throw document.wrong(field, "it unset: adapt does not support this option");
            }
        }
    }

    /** Refuses biases trained beside the update. */
    void refuseBias() {
        if (!document.string("bias").orElse("none").equals("none")) {
            throw document.wrong("bias", "\"none\", the only kind supported");
        }
    }
}
