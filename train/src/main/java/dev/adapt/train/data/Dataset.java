package dev.adapt.train.data;

import static dev.adapt.train.data.Lines.fault;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.train.data.Lines.Row;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Labelled texts from a TSV, CSV or JSONL file (by its name's end: {@code .jsonl} and {@code .json} are JSONL,
 * {@code .csv} is CSV, all else TSV).
 *
 * <p>TSV is read without quoting: a tab ends a cell, a line feed ends a row. A header is there if {@link Columns#header}
 * says so or, where it does not, if a named column stands in the first line, or the first line has a cell {@code label}.
 * A line of JSON may hold {@code input_ids} in place of texts.
 *
 * @param columns where text and label were found, to read the dev set by
 */
public record Dataset(Path file, Columns columns, List<Example> examples) {
    private static final List<List<String>> TEXT_NAMES =
            List.of(List.of("text"), List.of("sentence"), List.of("sentence1", "sentence2"));
    private static final String LABEL_NAME = "label";
    private static final Pattern NUMBER = Pattern.compile("[1-9]\\d{0,5}");

    public Dataset {
        examples = List.copyOf(examples);
    }

    /**
     * Which columns hold what.
     *
     * @param text names, or numbers from 1, of one column or of two that are read together; where missing, a column called
     *     text or sentence, two called sentence1 and sentence2, else the one that is left
     * @param label name, or number from 1; where missing, a column called label, else the one of two with fewer values
     * @param header whether a table's first line is a header, if the user says
     */
    public record Columns(List<String> text, Optional<String> label, Optional<Boolean> header) {
        /** Everything to be found out. */
        public static final Columns UNKNOWN = new Columns(List.of(), Optional.empty(), Optional.empty());

        public Columns {
            text = List.copyOf(text);
            if (text.size() > 2) {
                throw new UsageException("text-column", "expected one column or two, found " + String.join(",", text));
            }
        }
    }

    /**
     * Reads a file whole.
     *
     * @throws FormatException naming the line, if it has an empty line, a missing column or bytes that are not UTF-8
     */
    public static Dataset read(Path file, Columns columns) throws IOException {
        Dataset dataset = Lines.named(file, ".jsonl", ".json")
                ? fromJson(file, Lines.json(file), columns)
                : fromTable(file, Lines.rows(file), columns);
        if (dataset.examples().isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        return dataset;
    }

    /** The label of texts that are read without one. */
    private static final String UNLABELLED = "-";

    /**
     * Reads the texts of a file whole, whether it has labels or not: labels are used only to tell a text column that has no
     * name from a label column.
     *
     * @throws FormatException as {@link #read} does, but for missing labels
     */
    public static Dataset readTexts(Path file, Columns columns) throws IOException {
        Dataset dataset = Lines.named(file, ".jsonl", ".json")
                ? textsFromJson(file, Lines.json(file), columns)
                : textsFromTable(file, Lines.rows(file), columns);
        if (dataset.examples().isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        return dataset;
    }

    private static Dataset textsFromTable(Path file, List<Row> rows, Columns columns) {
        List<String> first = rows.getFirst().cells();
        boolean named = TEXT_NAMES.stream().anyMatch(first::containsAll);
        boolean header = columns.header().orElse(named || looksLikeHeader(first, columns));
        List<String> names = header ? first : List.of();
        if (columns.text().isEmpty() && !(header && named) && first.size() > 1) {
            return fromTable(file, rows, columns);
        }
        List<Integer> texts = first.size() == 1 ? List.of(0) : textColumns(file, columns, names, first.size(), -1);
        int needed = Collections.max(texts) + 1;
        List<Example> examples = new ArrayList<>();
        for (Row row : header ? rows.subList(1, rows.size()) : rows) {
            if (row.cells().size() < needed) {
                throw fault(file, row.line(), "has " + row.cells().size() + " columns, expected at least " + needed);
            }
            examples.add(example(file, texts.stream().map(row.cells()::get).toList(), UNLABELLED, row.line()));
        }
        return new Dataset(file, columns, examples);
    }

    private static Dataset textsFromJson(Path file, List<JsonNode> lines, Columns columns) {
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            JsonNode node = lines.get(i);
            int line = i + 1;
            if (columns.text().isEmpty() && node.has(TokenIds.FIELD)) {
                Text ids = new Text.Ids(TokenIds.read(file, line, node, TokenIds.FIELD));
                examples.add(new Example(ids, UNLABELLED, line));
            } else {
                List<String> texts = textNames(file, line, node, columns).stream()
                        .map(name -> field(file, line, node, name))
                        .toList();
                examples.add(example(file, texts, UNLABELLED, line));
            }
        }
        return new Dataset(file, columns, examples);
    }

    private static Dataset fromTable(Path file, List<Row> rows, Columns columns) {
        List<String> first = rows.getFirst().cells();
        boolean header = columns.header().orElseGet(() -> looksLikeHeader(first, columns));
        List<String> names = header ? first : List.of();
        List<Row> body = header ? rows.subList(1, rows.size()) : rows;
        int label = labelColumn(file, columns, names, body);
        List<Integer> texts = textColumns(file, columns, names, first.size(), label);
        int needed = Math.max(label, Collections.max(texts)) + 1;
        List<Example> examples = new ArrayList<>();
        for (Row row : body) {
            if (row.cells().size() < needed) {
                throw fault(file, row.line(), "has " + row.cells().size() + " columns, expected at least " + needed);
            }
            List<String> own = texts.stream().map(row.cells()::get).toList();
            examples.add(example(file, own, row.cells().get(label), row.line()));
        }
        Columns found = new Columns(
                texts.stream().map(text -> columnName(names, text)).toList(),
                Optional.of(columnName(names, label)),
                columns.header());
        return new Dataset(file, found, examples);
    }

    /** Where texts and labels were found, for people. */
    public String layout() {
        boolean json = Lines.named(file, ".jsonl", ".json");
        Optional<String> label = columns.label();
        boolean header = label.filter(name -> !NUMBER.matcher(name).matches()).isPresent();
        String text = columns.text().isEmpty() ? "as each line has it" : String.join(" and ", columns.text());
        return file + ": " + (json ? "" : header ? "with a header, " : "without a header, ")
                + (json ? "field" : "column") + " of the text: " + text + ", of the label: "
                + label.orElse(LABEL_NAME);
    }

    private static String columnName(List<String> names, int column) {
        return names.isEmpty() ? Integer.toString(column + 1) : names.get(column);
    }

    private static Example example(Path file, List<String> texts, String label, int line) {
        boolean empty = texts.stream().anyMatch(String::isBlank);
        if (empty || label.isBlank()) {
            throw fault(file, line, "has an empty " + (empty ? "text" : "label"));
        }
        Text text = texts.size() == 1
                ? new Text.Single(texts.getFirst())
                : new Text.Pair(texts.getFirst(), texts.getLast());
        return new Example(text, label.strip(), line);
    }

    private static boolean looksLikeHeader(List<String> first, Columns columns) {
        return first.contains(LABEL_NAME)
                || Stream.concat(columns.text().stream(), columns.label().stream())
                        .anyMatch(name -> !NUMBER.matcher(name).matches() && first.contains(name));
    }

    private static int labelColumn(Path file, Columns columns, List<String> names, List<Row> body) {
        if (columns.label().isPresent()) {
            return column(file, columns.label().get(), names, body);
        }
        if (names.contains(LABEL_NAME)) {
            return names.indexOf(LABEL_NAME);
        }
        int width = body.isEmpty() ? names.size() : body.getFirst().cells().size();
        if (width != 2) {
            throw fault(file, 1, "has " + width + " columns and none called label; say which with --label-column");
        }
        int first = distinct(body, 0);
        int second = distinct(body, 1);
        if (first == second) {
            throw fault(file, 1, "has two columns and either could be the label; say which with --label-column 1 or 2");
        }
        return first < second ? 0 : 1;
    }

    private static int distinct(List<Row> body, int column) {
        Set<String> values = new HashSet<>();
        body.stream()
                .filter(row -> column < row.cells().size())
                .forEach(row -> values.add(row.cells().get(column)));
        return values.size();
    }

    private static List<Integer> textColumns(Path file, Columns columns, List<String> names, int width, int label) {
        if (!columns.text().isEmpty()) {
            return columns.text().stream()
                    .map(text -> column(file, text, names, List.of()))
                    .toList();
        }
        for (List<String> usual : TEXT_NAMES) {
            if (names.containsAll(usual)) {
                return usual.stream().map(names::indexOf).toList();
            }
        }
        if (width != 2) {
            throw fault(file, 1, "has " + width + " columns and none called text; say which with --text-column");
        }
        return List.of(1 - label);
    }

    private static int column(Path file, String given, List<String> names, List<Row> body) {
        if (names.contains(given)) {
            return names.indexOf(given);
        }
        int width = names.isEmpty() && !body.isEmpty() ? body.getFirst().cells().size() : names.size();
        if (NUMBER.matcher(given).matches()) {
            int column = Integer.parseInt(given) - 1;
            if (width == 0 || column < width) {
                return column;
            }
        }
        throw fault(
                file,
                1,
                "has no column \"" + given + "\": its " + width + " columns are "
                        + (names.isEmpty() ? "not named; give a number from 1" : Shown.of(names)));
    }

    private static Dataset fromJson(Path file, List<JsonNode> lines, Columns columns) {
        String labelName = columns.label().orElse(LABEL_NAME);
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            int line = i + 1;
            JsonNode node = lines.get(i);
            if (columns.text().isEmpty() && node.has(TokenIds.FIELD)) {
                Text ids = new Text.Ids(TokenIds.read(file, line, node, TokenIds.FIELD));
                examples.add(new Example(ids, field(file, line, node, labelName).strip(), line));
            } else {
                List<String> texts = textNames(file, line, node, columns).stream()
                        .map(name -> field(file, line, node, name))
                        .toList();
                examples.add(example(file, texts, field(file, line, node, labelName), line));
            }
        }
        return new Dataset(file, columns, examples);
    }

    private static List<String> textNames(Path file, int line, JsonNode node, Columns columns) {
        if (!columns.text().isEmpty()) {
            return columns.text();
        }
        return TEXT_NAMES.stream()
                .filter(names -> names.stream().allMatch(name -> hasValue(node, name)))
                .findFirst()
                .orElseThrow(() -> fault(file, line, "has no field \"text\" or \"sentence\" with a value"));
    }

    private static boolean hasValue(JsonNode node, String name) {
        return node.path(name).isValueNode() && !node.path(name).isNull();
    }

    private static String field(Path file, int line, JsonNode node, String name) {
        if (!hasValue(node, name)) {
            throw fault(file, line, "has no field \"" + name + "\" with a value");
        }
        return node.get(name).asText();
    }

    /** All labels, in order. */
    public List<String> labels() {
        return sorted(examples.stream().map(Example::label).toList());
    }

    /** Each label once, in order: as numbers where all are numbers, else as words. */
    public static List<String> sorted(List<String> all) {
        List<String> labels = all.stream().distinct().sorted().toList();
        return labels.stream().allMatch(label -> label.matches("-?\\d{1,9}"))
                ? labels.stream()
                        .sorted((left, right) -> Integer.compare(Integer.parseInt(left), Integer.parseInt(right)))
                        .toList()
                : labels;
    }

    /** The index of each label; of equal ones the first. */
    static Map<String, Integer> indices(List<String> labels) {
        Map<String, Integer> byLabel = new HashMap<>();
        for (int i = 0; i < labels.size(); i++) {
            byLabel.putIfAbsent(labels.get(i), i);
        }
        return byLabel;
    }

    /**
     * The index of each example's label.
     *
     * @throws FormatException naming the line of a label that is not among those given
     */
    public List<Integer> classes(List<String> labels) {
        Map<String, Integer> byLabel = indices(labels);
        List<Integer> classes = new ArrayList<>();
        for (Example example : examples) {
            Integer index = byLabel.get(example.label());
            if (index == null) {
                throw fault(
                        file,
                        example.line(),
                        "has the label \"" + Shown.of(example.label())
                                + "\", which the training data does not have; its labels are "
                                + Shown.of(labels));
            }
            classes.add(index);
        }
        return classes;
    }
}
