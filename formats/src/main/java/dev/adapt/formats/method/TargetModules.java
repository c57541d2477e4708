package dev.adapt.formats.method;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.io.JsonDocument;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The modules that an adapter_config.json says are adapted, by the rules of PEFT's {@code check_target_module_exists}: a
 * list names modules, or their ends after a dot; a string is a regular expression of whole names; {@code all-linear} is
 * every linear layer. {@code exclude_modules} and {@code modules_to_save} take away, and {@code layers_to_transform} keeps
 * only some layers of what a list names by its end.
 *
 * @param names where it is a list, what it names
 * @param included what the list or the expression names, in the layers kept
 * @param excluded what is taken away
 */
public record TargetModules(List<String> names, Predicate<String> included, Predicate<String> excluded) {
    private static final String FIELD = "target_modules";
    private static final String LAYERS = "layers_to_transform";

    /** Characters that the expressions of {@code layers_pattern} may look at in all: a second or two. */
    private static final long MOST_STEPS = 200_000_000;

    /** What numbered layers are listed under, where the config does not say it: a list inside another module. */
    private static final String ANY_LIST = ".*?\\.[^.]*";

    public TargetModules {
        names = List.copyOf(names);
    }

    /**
     * What a config says; without {@code target_modules}, every module.
     *
     * @throws dev.adapt.formats.FormatException if a field has another type, or is no regular expression
     */
    static TargetModules of(AdapterConfig config) {
        JsonDocument document = config.document();
        JsonNode node = document.json().path(FIELD);
        Predicate<String> excluded =
                document.says("exclude_modules") ? matcher(document, "exclude_modules") : module -> false;
        Set<String> saved = Set.copyOf(config.modulesToSave());
        excluded = excluded.or(module -> isWithin(saved, module));
        if (node.isMissingNode() || node.isNull() || isAllLinear(node)) {
            return new TargetModules(List.of(), module -> true, excluded);
        }
        Predicate<String> included = matcher(document, FIELD);
        if (node.isTextual()) {
            return new TargetModules(List.of(), included, excluded);
        }
        List<String> names = strings(document, FIELD);
        Set<String> whole = Set.copyOf(names);
        // PEFT asks for the layer only of modules that are named by their ends
        Predicate<String> layered = layers(document).or(whole::contains);
        return new TargetModules(names, included.and(layered), excluded);
    }

    /** Whether a config's {@code target_modules} is {@code all-linear}. */
    static boolean isAllLinear(JsonNode field) {
        return field.asText().equalsIgnoreCase("all-linear");
    }

    /** Whether the config says that a module is adapted. */
    public boolean claims(String module) {
        return included.test(module) && !excluded.test(module);
    }

    /** Whether a module is what a list's entry names: the whole name, or its end after a dot. */
    public static boolean names(String entry, String module) {
        return module.equals(entry) || module.endsWith("." + entry);
    }

    private static Predicate<String> matcher(JsonDocument document, String field) {
        JsonNode node = document.json().path(field);
        if (node.isTextual()) {
            return expression(document, field, node.textValue())::matches;
        }
        Set<String> entries = Set.copyOf(strings(document, field));
        return module -> ends(module).stream().anyMatch(entries::contains);
    }

    /** A module's whole name, and each of its ends after a dot. */
    private static List<String> ends(String module) {
        List<String> ends = new ArrayList<>(List.of(module));
        for (int dot = module.indexOf('.'); dot >= 0; dot = module.indexOf('.', dot + 1)) {
            ends.add(module.substring(dot + 1));
        }
        return ends;
    }

    /** Whether a module is one of those named, or lies in one; names match as in {@link #names}. */
    private static boolean isWithin(Set<String> named, String module) {
        if (named.isEmpty()) {
            return false;
        }
        for (String end : ends(module)) {
            for (int dot = end.length(); dot >= 0; dot = end.lastIndexOf('.', dot - 1)) {
                if (named.contains(end.substring(0, dot))) {
                    return true;
                }
            }
        }
        return false;
    }

    private static ModulePattern expression(JsonDocument document, String field, String text) {
        return ModulePattern.of(document, field, text, "a list of names or a regular expression");
    }

    private static List<String> strings(JsonDocument document, String field) {
        List<String> strings = new ArrayList<>();
        JsonNode node = document.json().path(field);
        if (!node.isArray()) {
            throw document.wrong(field, "a list of names or a regular expression");
        }
        for (JsonNode entry : node) {
            if (!entry.isTextual()) {
                throw document.wrong(field, "a list of names or a regular expression");
            }
            strings.add(entry.textValue());
        }
        return strings;
    }

    /** Whether a module is in the layers kept, which its first numbered list of layers tells: experts are numbered after it. */
    private static Predicate<String> layers(JsonDocument document) {
        Optional<Set<String>> kept = kept(document);
        if (kept.isEmpty()) {
            return module -> true;
        }
        List<String> patterns = new ArrayList<>();
        JsonNode pattern = document.json().path("layers_pattern");
        if (pattern.isTextual() && !pattern.textValue().isEmpty()) {
            patterns.add(pattern.textValue());
        } else if (document.says("layers_pattern")) {
            patterns.addAll(strings(document, "layers_pattern"));
        }
        List<ModulePattern> any = (patterns.isEmpty()
                        ? Stream.of(ANY_LIST)
                        : patterns.stream().map(each -> "(?:^|.*?\\.)" + each))
                .map(list -> expression(document, "layers_pattern", list + "\\.(\\d+)\\."))
                .toList();
        AtomicLong budget = new AtomicLong(MOST_STEPS);
        return module -> any.stream()
                .map(each -> each.lastGroup(module, budget))
                .flatMap(Optional::stream)
                .findFirst()
                .filter(kept.get()::contains)
                .isPresent();
    }

    private static Optional<Set<String>> kept(JsonDocument document) {
        JsonNode node = document.json().path(LAYERS);
        if (node.isMissingNode() || node.isNull() || (node.isArray() && node.isEmpty())) {
            return Optional.empty();
        }
        Set<String> layers = new HashSet<>();
        for (JsonNode layer : node.isArray() ? node : List.of(node)) {
            if (!layer.isInt() || layer.intValue() < 0) {
                throw document.wrong(LAYERS, "a layer's number from 0 on, or a list of them");
            }
            layers.add(layer.asText());
        }
        return Optional.of(layers);
    }
}
