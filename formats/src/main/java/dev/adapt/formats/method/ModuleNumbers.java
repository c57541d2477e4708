package dev.adapt.formats.method;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A hyperparameter that may differ by module, such as a rank: the usual value, and PEFT's module patterns with others.
 *
 * @param patterns in the config's order, of which the first that a module's name ends with counts
 */
public record ModuleNumbers(double usual, Map<String, Double> patterns, List<ModulePattern> compiled) {
    /** One value for all modules. */
    public static ModuleNumbers of(double usual) {
        return new ModuleNumbers(usual, Map.of(), List.of());
    }

    /**
     * A field and its patterns.
     *
     * @throws dev.adapt.formats.FormatException if one is not a number
     */
    public static ModuleNumbers of(AdapterConfig config, String field, double usual, String patternField) {
        return of(patternField, config.document().number(field, usual), config.pattern(patternField));
    }

    /**
     * A field of ranks, which must be there, and its patterns.
     *
     * @throws dev.adapt.formats.FormatException if one is not a positive integer
     */
    public static ModuleNumbers ranks(AdapterConfig config, String field, String patternField) {
        int usual = config.document().positive(field);
        Map<String, Double> patterns = config.pattern(patternField);
        for (double rank : patterns.values()) {
            if (rank < 1 || rank != (int) rank) {
                throw config.document().wrong(patternField, "positive integers");
            }
        }
        return of(patternField, usual, patterns);
    }

    private static ModuleNumbers of(String patternField, double usual, Map<String, Double> patterns) {
        List<ModulePattern> compiled = new ArrayList<>();
        patterns.keySet().forEach(pattern -> compiled.add(ModulePattern.ofEnd(patternField, pattern)));
        return new ModuleNumbers(usual, patterns, List.copyOf(compiled));
    }

    /** The value for a module. */
    public double of(String module) {
        int at = 0;
        for (double value : patterns.values()) {
            if (compiled.get(at++).matches(module)) {
                return value;
            }
        }
        return usual;
    }

    /** Writes the field and its patterns. */
    public void describe(ObjectNode config, String field, String patternField) {
        put(config, field, usual);
        ObjectNode others = config.putObject(patternField);
        patterns.forEach((module, value) -> put(others, module, value));
    }

    /** A number as JSON writes it best: whole ones without a point, as PEFT's own are. */
    public static void put(ObjectNode node, String field, double value) {
        if (value == Math.rint(value) && Math.abs(value) < 1L << 53) {
            node.put(field, (long) value);
        } else {
            node.put(field, value);
        }
    }
}
