package dev.adapt.formats.method;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;

/** An adapter's {@code adapter_config.json}, with the fields all of PEFT's methods have. */
public record AdapterConfig(JsonDocument document) {
    /** The file's name in an adapter folder. */
    public static final String FILE = "adapter_config.json";

    /** The largest rank that is believed: the width of the largest models' layers. */
    public static final int MOST_RANK = 1 << 16;

    /** The last words of modules that PEFT takes for an embedding table or its head. */
    private static final Set<String> TIED = Set.of("embed_tokens", "lm_head");

    /** Methods whose biases every version of PEFT saves; of others those before 0.21 save none. */
    private static final Set<String> BIASED = Set.of("LORA", "ADALORA", "BOFT");

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
        return document.names("modules_to_save");
    }

    /** Which of the base's biases the adapter replaces: {@code none}, {@code all}, or those of adapted modules. */
    public String bias() {
        return document.string("bias").orElse("none");
    }

    /** Whether biases are missing where the adapter holds none: PEFT has saved all of these methods' since its first versions. */
    public boolean mustHoldBiases() {
        return bias().equals("all") && BIASED.contains(peftType());
    }

    /**
     * Whether a tied head follows the embedding table, as {@code ensure_weight_tying} says. PEFT asks for it only where a
     * module called {@code embed_tokens} or {@code lm_head} is saved or adapted: tables of other names leave the head behind.
     */
    public boolean keepsTies() {
        if (!document.says("ensure_weight_tying")) {
            return false;
        }
        TargetModules targets = targetModules();
        JsonNode field = document.json().path("target_modules");
        boolean expression = field.isTextual() && !TargetModules.isAllLinear(field);
        return Stream.concat(modulesToSave().stream(), targets.names().stream())
                        .map(name -> name.substring(name.lastIndexOf('.') + 1))
                        .anyMatch(TIED::contains)
                || (expression && TIED.stream().anyMatch(targets.included()));
    }

    /**
     * The rank, {@code r}.
     *
     * @throws dev.adapt.formats.FormatException if it is no positive integer, or larger than any layer's width
     */
    public int rank() {
        return document.positive("r", MOST_RANK);
    }

    /**
     * The same, where the field may be missing.
     *
     * @param usual PEFT's default
     */
    public int rank(int usual) {
        return document.positive("r", MOST_RANK, usual);
    }

    /** The modules it says are adapted. */
    public TargetModules targetModules() {
        return TargetModules.of(this);
    }

    /**
     * The ranks that a field gives for module patterns; none where it is missing.
     *
     * @throws FormatException if a key is no regular expression or a number is no rank
     */
    public ModulePatterns ranks(String field) {
        ModulePatterns ranks = pattern(field);
        for (double rank : ranks.numbers().values()) {
            if (rank < 1 || rank > MOST_RANK || rank != (int) rank) {
                throw document.wrong(field, "positive integers of at most " + MOST_RANK);
            }
        }
        return ranks;
    }

    /**
     * The numbers that a field gives for module patterns; none where it is missing.
     *
     * @throws FormatException if a key is no regular expression or a number is none that float32 can hold
     */
    public ModulePatterns pattern(String field) {
        return pattern(field, ModulePatterns.Rule.END);
    }

    /** The same, matched by a rule of PEFT's. */
    ModulePatterns pattern(String field, ModulePatterns.Rule rule) {
        Map<String, Double> numbers = new LinkedHashMap<>();
        JsonNode node = document.json().path(field);
        if (document.says(field) && !node.isObject()) {
            throw document.wrong(field, "a number for each module pattern");
        }
        node.properties().forEach(entry -> {
            JsonNode number = entry.getValue();
            if (!number.isNumber() || !(Math.abs(number.doubleValue()) <= Float.MAX_VALUE)) {
                throw new FormatException(
                        document.path(),
                        field,
                        "expected a number of at most 3.4e38 for each module pattern, found " + number + " for \""
                                + entry.getKey() + "\"");
            }
            numbers.put(entry.getKey(), number.doubleValue());
        });
        try {
            return new ModulePatterns(document.path(), field, numbers, rule);
        } catch (PatternSyntaxException e) {
            throw new FormatException(
                    document.path(),
                    field,
                    "expected regular expressions as keys, found \"" + e.getPattern() + "\" (" + e.getDescription()
                            + ")");
        }
    }

    /**
     * Refuses options that change what the adapter computes and that we do not implement.
     *
     * @throws dev.adapt.formats.FormatException naming the first that is set
     */
    public void refuse(String... fields) {
        for (String field : fields) {
            if (document.says(field)) {
                throw document.wrong(field, "it unset: adapt does not support this option");
            }
        }
    }

    /**
     * Checks probabilities of dropout.
     *
     * @throws dev.adapt.formats.FormatException if one is not a number from 0 to 1
     */
    public void requireProbabilities(String... fields) {
        for (String field : fields) {
            double probability = document.number(field, 0);
            if (probability < 0 || probability > 1) {
                throw document.wrong(field, "a probability from 0 to 1");
            }
        }
    }

    /**
     * Checks which biases were trained.
     *
     * @throws dev.adapt.formats.FormatException if {@code bias} is none of PEFT's values
     */
    public void requireKnownBias() {
        boolean named = document.json().path("bias").isTextual() || !document.has("bias");
        boolean known = bias().equals("none") || bias().equals("all") || bias().endsWith("_only");
        if (!named || !known) {
            throw document.wrong("bias", "\"none\", \"all\" or \"" + peftType().toLowerCase(Locale.ROOT) + "_only\"");
        }
    }

    /**
     * Makes sure that every field that is set is known.
     *
     * @param own the fields that the method knows, beside those all methods have
     * @throws dev.adapt.formats.FormatException naming the first that is not
     */
    void requireKnown(Set<String> own) {
        List<String> unknown = unknown(own);
        if (!unknown.isEmpty()) {
            throw document.wrong(unknown.getFirst(), "it unset: " + peftType() + " has no such setting");
        }
    }

    /**
     * The fields that are set and that nobody knows.
     *
     * @param own the fields that the method knows, beside those all methods have
     * @throws dev.adapt.formats.FormatException for a switch: PEFT's are called {@code use_…}, and each changes the result
     */
    public List<String> unknown(Set<String> own) {
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
