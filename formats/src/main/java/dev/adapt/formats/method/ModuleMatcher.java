package dev.adapt.formats.method;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Modules that a config names in a field of its own, by PEFT's rule for {@code target_modules}: a list of names, or of ends
 * of names after a dot, or one regular expression of whole names.
 */
public record ModuleMatcher(List<String> names, Optional<ModulePattern> expression) {
    public ModuleMatcher {
        names = List.copyOf(names);
    }

    /** No module. */
    static ModuleMatcher none() {
        return new ModuleMatcher(List.of(), Optional.empty());
    }

    /**
     * The modules of a field; none where it is missing.
     *
     * @throws dev.adapt.formats.FormatException if it has another type, or is no regular expression
     */
    public static ModuleMatcher of(AdapterConfig config, String field) {
        JsonNode node = config.document().json().path(field);
        if (!config.document().says(field)) {
            return none();
        }
        String expected = "a list of names or a regular expression";
        if (node.isTextual()) {
            return new ModuleMatcher(
                    List.of(), Optional.of(ModulePattern.of(config.document(), field, node.textValue(), expected)));
        }
        List<String> names = new ArrayList<>();
        for (JsonNode name : node) {
            if (!name.isTextual()) {
                throw config.document().wrong(field, expected);
            }
            names.add(name.textValue());
        }
        return new ModuleMatcher(names, Optional.empty());
    }

    /** Whether a module is named. */
    public boolean matches(String module) {
        return expression.map(pattern -> pattern.matches(module)).orElse(false)
                || names.stream().anyMatch(name -> TargetModules.names(name, module));
    }

    /** Whether a module is named, where an entry of the list is any end of a name, as {@code str.endswith} has it. */
    public boolean matchesEnd(String module) {
        return expression.map(pattern -> pattern.matches(module)).orElse(false)
                || names.stream().anyMatch(module::endsWith);
    }

    /** Writes the field. */
    public void describe(ObjectNode config, String field) {
        if (expression.isPresent()) {
            config.put(field, expression.get().toString());
        } else {
            ArrayNode list = config.putArray(field);
            names.forEach(list::add);
        }
    }
}
