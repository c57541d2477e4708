package dev.adapt.verify.suite;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.constructor.SafeConstructor;
import org.yaml.snakeyaml.error.YAMLException;
import org.yaml.snakeyaml.nodes.MappingNode;
import org.yaml.snakeyaml.nodes.Node;
import org.yaml.snakeyaml.nodes.NodeTuple;
import org.yaml.snakeyaml.nodes.ScalarNode;
import org.yaml.snakeyaml.nodes.SequenceNode;

/**
 * A mapping of a YAML file, with the place that errors name.
 *
 * @param place of the mapping in the file: {@code models[2]}
 */
public record YamlNode(Path file, String place, Map<String, Object> fields) {
    /**
     * Reads a file whose root is a mapping: plain data only, no tags, no more aliases than a file written by hand has.
     *
     * @throws FormatException if it is no such file
     */
    public static YamlNode read(Path file) throws IOException {
        LoaderOptions options = new LoaderOptions();
        options.setAllowDuplicateKeys(false);
        options.setMaxAliasesForCollections(20);
        options.setNestingDepthLimit(20);
        String text = InputFile.named(file).text(Limit.CONFIG);
        try {
            Node nodes = new Yaml(new SafeConstructor(options)).compose(new StringReader(text));
            requireTree(file, nodes, new HashSet<>(), new HashSet<>());
            Object root = new Yaml(new SafeConstructor(options)).load(text);
            return of(file, "the file", root);
        } catch (YAMLException e) {
            String reason = String.valueOf(e.getMessage()).strip().replaceAll("\\s+", " ");
            throw new FormatException(file, "is not valid YAML: " + reason);
        }
    }

    /**
     * Where the fields of a file stand, for errors: line numbers from 1 by path, such as "steps[2].merge.base".
     *
     * @throws FormatException as {@link #read}
     */
    public static Map<String, Integer> lines(Path file) throws IOException {
        read(file);
        Map<String, Integer> lines = new LinkedHashMap<>();
        Node root = new Yaml().compose(new StringReader(InputFile.named(file).text(Limit.CONFIG)));
        note(root, "", lines, new HashSet<>());
        return lines;
    }

    /** Notes each node once: fields that stand elsewhere, by an alias, have no lines of their own. */
    private static void note(Node node, String path, Map<String, Integer> lines, Set<Node> noted) {
        if (!noted.add(node)) {
            return;
        }
        if (node instanceof MappingNode mapping) {
            for (NodeTuple tuple : mapping.getValue()) {
                String key = tuple.getKeyNode() instanceof ScalarNode scalar ? scalar.getValue() : "";
                String own = path.isEmpty() ? key : path + "." + key;
                lines.put(own, tuple.getKeyNode().getStartMark().getLine() + 1);
                note(tuple.getValueNode(), own, lines, noted);
            }
        } else if (node instanceof SequenceNode sequence) {
            int number = 0;
            for (Node each : sequence.getValue()) {
                String own = path + "[" + ++number + "]";
                lines.put(own, each.getStartMark().getLine() + 1);
                note(each, own, lines, noted);
            }
        }
    }

    /** Refuses an alias of a list or mapping that stands within it. SnakeYAML's nodes are equal only to themselves. */
    private static void requireTree(Path file, @Nullable Node node, Set<Node> above, Set<Node> seen) {
        if (node == null || node instanceof ScalarNode) {
            return;
        }
        if (!above.add(node)) {
            throw new FormatException(
                    file, "line " + (node.getStartMark().getLine() + 1), "holds itself, by an alias within it");
        }
        if (seen.add(node)) {
            if (node instanceof MappingNode mapping) {
                for (NodeTuple tuple : mapping.getValue()) {
                    requireTree(file, tuple.getKeyNode(), above, seen);
                    requireTree(file, tuple.getValueNode(), above, seen);
                }
            } else if (node instanceof SequenceNode sequence) {
                sequence.getValue().forEach(each -> requireTree(file, each, above, seen));
            }
        }
        above.remove(node);
    }

    private static YamlNode of(Path file, String place, @Nullable Object value) {
        if (!(value instanceof Map<?, ?> map)) {
            throw new FormatException(
                    file, place, "expected a mapping, found " + (value == null ? "nothing" : kind(value)));
        }
        Map<String, Object> fields = new LinkedHashMap<>();
        map.forEach((key, own) -> {
            if (own != null) {
                fields.put(String.valueOf(key), own);
            }
        });
        return new YamlNode(file, place, fields);
    }

    private static String kind(Object value) {
        return value instanceof List<?> ? "a list" : "\"" + value + "\"";
    }

    /** Refuses fields that are not known: a misspelt gate would never fail. */
    void requireOnly(Set<String> known) {
        Set<String> unknown = new TreeSet<>(fields.keySet());
        unknown.removeAll(known);
        if (!unknown.isEmpty()) {
            throw new FormatException(
                    file,
                    place,
                    "has the unknown " + (unknown.size() == 1 ? "field " : "fields ") + String.join(", ", unknown)
                            + "; known are " + String.join(", ", new TreeSet<>(known)));
        }
    }

    FormatException wrong(String field, String expected) {
        Object value = fields.getOrDefault(field, "");
        String found = fields.containsKey(field) ? kind(value) : "nothing";
        return new FormatException(file, place + ": " + field, "expected " + expected + ", found " + found);
    }

    Optional<String> text(String field) {
        Object value = fields.get(field);
        if (value instanceof Map || value instanceof List) {
            throw wrong(field, "a text");
        }
        return Optional.ofNullable(value).map(String::valueOf);
    }

    String requireText(String field) {
        return text(field).orElseThrow(() -> wrong(field, "a text"));
    }

    /** A path, relative to the file's folder. */
    Optional<Path> path(String field) {
        return text(field).map(this::resolved);
    }

    private Path resolved(String name) {
        try {
            return file.toAbsolutePath().resolveSibling(name).normalize();
        } catch (InvalidPathException e) {
            throw new FormatException(file, place, "\"" + name + "\" cannot be a file's name");
        }
    }

    /** One path or a list of them. */
    List<Path> paths(String field) {
        Object value = fields.get(field);
        if (value instanceof List<?> list) {
            return list.stream().map(String::valueOf).map(this::resolved).toList();
        }
        return path(field).stream().toList();
    }

    Optional<Double> number(String field) {
        Object value = fields.get(field);
        if (value == null) {
            return Optional.empty();
        }
        try {
            // YAML 1.1 reads 1e-4 as a text
            double number = Double.parseDouble(String.valueOf(value));
            if (number >= 0) {
                return Optional.of(number);
            }
        } catch (NumberFormatException e) {
            throw wrong(field, "a number of 0 or more");
        }
        throw wrong(field, "a number of 0 or more");
    }

    Optional<Boolean> flag(String field) {
        Object value = fields.get(field);
        if (value != null && !(value instanceof Boolean)) {
            throw wrong(field, "true or false");
        }
        return Optional.ofNullable((Boolean) value);
    }

    Optional<YamlNode> node(String field) {
        return Optional.ofNullable(fields.get(field)).map(value -> of(file, place + ": " + field, value));
    }

    /** A list of mappings. */
    List<YamlNode> nodes(String field) {
        Object value = fields.get(field);
        if (value == null) {
            return List.of();
        }
        if (!(value instanceof List<?> list)) {
            throw wrong(field, "a list");
        }
        List<YamlNode> nodes = new ArrayList<>();
        for (Object own : list) {
            nodes.add(of(file, field + "[" + (nodes.size() + 1) + "]", own));
        }
        return nodes;
    }
}
