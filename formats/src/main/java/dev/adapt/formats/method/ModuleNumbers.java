package dev.adapt.formats.method;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;

/**
 * A hyperparameter that may differ by module, such as a rank: the usual value, and PEFT's module patterns with others.
 *
 * @param patterns the others
 */
public record ModuleNumbers(double usual, ModulePatterns patterns) {
    /** One value for all modules. */
    static ModuleNumbers of(double usual, String patternField) {
        return new ModuleNumbers(usual, new ModulePatterns(patternField, Map.of()));
    }

    /**
     * A field and its patterns.
     *
     * @throws dev.adapt.formats.FormatException if one is not a number
     */
    public static ModuleNumbers of(AdapterConfig config, String field, double usual, String patternField) {
        return new ModuleNumbers(config.document().number(field, usual), config.pattern(patternField));
    }

    /**
     * The field {@code r} and its patterns.
     *
     * @param usual PEFT's default
     * @throws dev.adapt.formats.FormatException if one is not a rank
     */
    public static ModuleNumbers ranks(AdapterConfig config, int usual, String patternField) {
        return new ModuleNumbers(config.rank(usual), config.ranks(patternField));
    }

    /**
     * A field and its patterns, read by {@link ModulePatterns.Rule#AFTER_DOT}.
     *
     * @throws dev.adapt.formats.FormatException if one is not a number
     */
    public static ModuleNumbers afterDot(AdapterConfig config, String field, double usual, String patternField) {
        return new ModuleNumbers(
                config.document().number(field, usual), config.pattern(patternField, ModulePatterns.Rule.AFTER_DOT));
    }

    /** The same usual value, with other patterns. */
    public ModuleNumbers with(Map<String, Double> others) {
        return new ModuleNumbers(usual, patterns.with(others));
    }

    /** The value for a module. */
    public double of(String module) {
        return patterns.of(module, usual);
    }

    /** Writes the field and its patterns. */
    public void describe(ObjectNode config, String field, String patternField) {
        put(config, field, usual);
        ObjectNode others = config.putObject(patternField);
        patterns.numbers().forEach((module, value) -> put(others, module, value));
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
