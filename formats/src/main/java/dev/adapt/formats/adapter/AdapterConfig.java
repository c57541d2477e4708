package dev.adapt.formats.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.io.JsonDocument;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.PatternSyntaxException;

/** An adapter's {@code adapter_config.json}, with the fields all of PEFT's methods have. */
public record AdapterConfig(JsonDocument document) {
    /** The file's name in an adapter folder. */
    public static final String FILE = "adapter_config.json";

    /** The fields that all of PEFT's methods have. */
    private static final Set<String> COMMON = Set.of(
            "auto_mapping",
            "base_model_name_or_path",
            "bias",
            "exclude_modules",
            "fan_in_fan_out",
            "inference_mode",
            "layers_pattern",
            "layers_to_transform",
            "modules_to_save",
            "peft_type",
            "peft_version",
            "r",
            "revision",
            "target_modules",
            "task_type");

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

    /**
     * The names of the modules that the adapter holds whole.
     *
     * @throws dev.adapt.formats.FormatException if they are not a list of names
     */
    public List<String> modulesToSave() {
        JsonNode node = document.json().path("modules_to_save");
        List<String> modules = new ArrayList<>();
        if (document.says("modules_to_save") && !node.isArray()) {
            throw document.wrong("modules_to_save", "a list of names");
        }
        for (JsonNode module : node) {
            if (!module.isTextual()) {
                throw document.wrong("modules_to_save", "a list of names");
            }
            modules.add(module.textValue());
        }
        return modules;
    }

    /** Which of the base's biases the adapter replaces: {@code none}, {@code all}, or those of adapted modules. */
    public String bias() {
        return document.string("bias").orElse("none");
    }

    /** Whether a tied head follows the table of words, as {@code ensure_weight_tying} says. */
    public boolean keepsTies() {
        return document.says("ensure_weight_tying");
    }

    /** The modules it says are adapted. */
    public TargetModules targetModules() {
        return TargetModules.of(this);
    }

    /** A map from module patterns to positive numbers, in the file's order; empty where the field is missing. */
    Map<String, Double> pattern(String field) {
        Map<String, Double> pattern = new LinkedHashMap<>();
        JsonNode node = document.json().path(field);
        if (document.says(field) && !node.isObject()) {
            throw document.wrong(field, "a number for each module pattern");
        }
        node.properties().forEach(entry -> {
            if (!entry.getValue().isNumber()) {
                throw document.wrong(field, "a number for each module pattern");
            }
            try {
                ModulePattern.ofEnd(field, entry.getKey());
            } catch (PatternSyntaxException e) {
                throw document.wrong(field, "regular expressions as keys (" + e.getDescription() + ")");
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

    /**
     * The fields that are set and that nobody knows.
     *
     * @param own the fields that the method knows, beside those all methods have
     * @throws dev.adapt.formats.FormatException for a switch: PEFT's are called {@code use_…}, and each changes the result
     */
    List<String> unknown(Set<String> own) {
        List<String> unknown = new ArrayList<>();
        document.json().fieldNames().forEachRemaining(field -> {
            if (!COMMON.contains(field) && !own.contains(field) && document.says(field)) {
                if (field.startsWith("use_")) {
                    throw document.wrong(
                            field, "it unset: adapt does not know this option, which may change what the adapter does");
                }
                unknown.add(field);
            }
        });
        return unknown;
    }
}
