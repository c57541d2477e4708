package dev.adapt.formats.names;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * What is known of the names of one family of models: an entry of {@code families.json}, or its default.
 *
 * @param prefixes of checkpoints with a head, before the names of the bare model; the longest first
 * @param renames parts of names as hub files or versions of transformers spell them, to their canonical form. {@code ^} stands
 *     for the beginning of a name; a part ends at a dot or at the end of the name
 * @param joined modules that one tensor can hold together, one below the other, by the name of that tensor's module;
 *     {@code *} stands for the number of an expert
 * @param tables candidates for the module of the embedding table
 * @param heads candidates for the module of the language modelling head
 * @param copies modules whose weight transformers makes of the table's while the head is tied to it, and no longer
 * @param tied whether head and table are one tensor where config.json does not say
 * @param conv1d the ends of names of modules that are stored [in, out]
 * @param transposedStacks whether stacks of experts are stored [experts, in, out]
 * @param className what the names of its classes in transformers begin with
 * @param classifier what the name of its class with a classification head ends with
 * @param pooling what that class feeds its head
 */
public record Family(
        List<String> prefixes,
        SequencedMap<String, String> renames,
        SequencedMap<String, List<String>> joined,
        List<String> tables,
        List<String> heads,
        List<String> copies,
        boolean tied,
        List<String> conv1d,
        boolean transposedStacks,
        Optional<String> className,
        String classifier,
        String pooling) {
    /** An entry, with the default's values where it says nothing. */
    static Family of(ObjectNode entry, ObjectNode otherwise) {
        SequencedMap<String, String> renames = new LinkedHashMap<>();
        for (ObjectNode each : List.of(otherwise, entry)) {
            each.path("renames")
                    .properties()
                    .forEach(rename ->
                            renames.put(rename.getKey(), rename.getValue().textValue()));
        }
        SequencedMap<String, List<String>> joined = new LinkedHashMap<>();
        field(entry, otherwise, "joined")
                .properties()
                .forEach(tensor -> joined.put(tensor.getKey(), strings(tensor.getValue())));
        return new Family(
                strings(field(entry, otherwise, "prefixes")),
                renames,
                joined,
                strings(field(entry, otherwise, "tables")),
                strings(field(entry, otherwise, "heads")),
                strings(field(entry, otherwise, "copies")),
                field(entry, otherwise, "tied").booleanValue(),
                strings(field(entry, otherwise, "conv1d")),
                field(entry, otherwise, "transposed_stacks").booleanValue(),
                Optional.ofNullable(entry.get("class")).map(JsonNode::textValue),
                field(entry, otherwise, "classifier").textValue(),
                field(entry, otherwise, "pooling").textValue());
    }

    private static JsonNode field(ObjectNode entry, ObjectNode otherwise, String name) {
        return entry.has(name) ? entry.path(name) : otherwise.path(name);
    }

    static List<String> strings(JsonNode node) {
        List<String> strings = new ArrayList<>();
        node.forEach(each -> strings.add(each.textValue()));
        return strings;
    }

    /** The canonical form of a tensor's or module's name. */
    String canonical(String name) {
        String canonical = bare(name);
        for (Map.Entry<String, String> rename : renames.entrySet()) {
            canonical = renamed(canonical, rename.getKey(), rename.getValue());
        }
        return canonical;
    }

    /** The prefix that a name has; empty where it has none. */
    String prefix(String name) {
        for (String prefix : prefixes) {
            if (name.startsWith(prefix)) {
                return prefix;
            }
        }
        return "";
    }

    private String bare(String name) {
        return name.substring(prefix(name).length());
    }

    private static String renamed(String name, String from, String to) {
        boolean atStart = from.charAt(0) == '^';
        String part = atStart ? from.substring(1) : from;
        int at = atStart ? (name.startsWith(part) ? 0 : -1) : name.indexOf(part);
        int end = at + part.length();
        if (at < 0 || (end < name.length() && name.charAt(end) != '.')) {
            return name;
        }
        return name.substring(0, at) + to + name.substring(end);
    }
}
