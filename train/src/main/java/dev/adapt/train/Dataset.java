package dev.adapt.train;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Labelled texts from a TSV or JSONL file (by its name's end: {@code .jsonl} and {@code .json} are JSONL, all else TSV).
 *
 * <p>TSV is read without quoting: a tab ends a cell, a line feed ends a row. A header is there if {@link Columns#header}
 * says so or, where it does not, if a named column stands in the first line, or the first line has a cell {@code label}.
 *
 * @param columns where text and label were found, to read the dev set by
 */
public record Dataset(Path file, Columns columns, List<Example> examples) {
    private static final Set<String> TEXT_NAMES = Set.of("text", "sentence");
    private static final String LABEL_NAME = "label";
    private static final Pattern NUMBER = Pattern.compile("[1-9]\\d{0,5}");

    public Dataset {
        examples = List.copyOf(examples);
    }

    /**
     * Which columns hold what.
     *
     * @param text name, or number from 1; where missing, a column called text or sentence, else the one that is left
     * @param label name, or number from 1; where missing, a column called label, else the one of two with fewer values
     * @param header whether a TSV's first line is a header, if the user says
     */
    public record Columns(Optional<String> text, Optional<String> label, Optional<Boolean> header) {
        /** Everything to be found out. */
        public static final Columns UNKNOWN = new Columns(Optional.empty(), Optional.empty(), Optional.empty());
    }

    /** A row of a TSV, and the line it stands on. */
    private record Row(List<String> cells, int line) {}

    /**
     * Reads a file whole.
     *
     * @throws FormatException naming the line, if it has an empty line, a missing column or bytes that are not UTF-8
     */
    public static Dataset read(Path file, Columns columns) throws IOException {
        List<String> lines = lines(file);
        String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
        boolean json = name.endsWith(".jsonl") || name.endsWith(".json");
        if (lines.isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        Dataset dataset = json ? fromJson(file, lines, columns) : fromTsv(file, lines, columns);
        if (dataset.examples().isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        return dataset;
    }

    private static List<String> lines(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        List<String> lines = new ArrayList<>();
        for (int start = 0; start < bytes.length; ) {
            int end = start;
            while (end < bytes.length && bytes[end] != '\n') {
                end++;
            }
            int length = end > start && bytes[end - 1] == '\r' ? end - 1 - start : end - start;
            try {
                lines.add(StandardCharsets.UTF_8
                        .newDecoder()
                        .decode(ByteBuffer.wrap(bytes, start, length))
                        .toString());
            } catch (CharacterCodingException e) {
                throw fault(file, lines.size() + 1, "is not valid UTF-8");
            }
            if (lines.getLast().isBlank()) {
                throw fault(file, lines.size(), "is empty, expected an example; remove the line");
            }
            start = end + 1;
        }
        return lines;
    }

    private static FormatException fault(Path file, int line, String reason) {
        return new FormatException(file, "line " + line, reason);
    }

    private static Dataset fromTsv(Path file, List<String> lines, Columns columns) {
        List<Row> rows = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            rows.add(new Row(List.of(lines.get(i).split("\t", -1)), i + 1));
        }
        List<String> first = rows.getFirst().cells();
        boolean header = columns.header().orElseGet(() -> looksLikeHeader(first, columns));
        List<String> names = header ? first : List.of();
        List<Row> body = header ? rows.subList(1, rows.size()) : rows;
        int label = labelColumn(file, columns, names, body);
        int text = textColumn(file, columns, names, first.size(), label);
        List<Example> examples = new ArrayList<>();
        for (Row row : body) {
            int needed = Math.max(label, text) + 1;
            if (row.cells().size() < needed) {
                throw fault(
                        file,
                        row.line(),
                        "has " + row.cells().size() + " tab-separated columns, expected at least " + needed);
            }
            examples.add(example(file, row.cells().get(text), row.cells().get(label), row.line()));
        }
        Columns found = new Columns(
                Optional.of(columnName(names, text)), Optional.of(columnName(names, label)), columns.header());
        return new Dataset(file, found, examples);
    }

    private static String columnName(List<String> names, int column) {
        return names.isEmpty() ? Integer.toString(column + 1) : names.get(column);
    }

    private static Example example(Path file, String text, String label, int line) {
        if (text.isBlank() || label.isBlank()) {
            throw fault(file, line, "has an empty " + (text.isBlank() ? "text" : "label"));
        }
        return new Example(text, label.strip(), line);
    }

    private static boolean looksLikeHeader(List<String> first, Columns columns) {
        return first.contains(LABEL_NAME)
                || Stream.of(columns.text(), columns.label())
                        .flatMap(Optional::stream)
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

    private static int textColumn(Path file, Columns columns, List<String> names, int width, int label) {
        if (columns.text().isPresent()) {
            return column(file, columns.text().get(), names, List.of());
        }
        for (int i = 0; i < names.size(); i++) {
            if (TEXT_NAMES.contains(names.get(i))) {
                return i;
            }
        }
        if (width != 2) {
            throw fault(file, 1, "has " + width + " columns and none called text; say which with --text-column");
        }
        return 1 - label;
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
                        + (names.isEmpty() ? "not named; give a number from 1" : String.join(", ", names)));
    }

    private static Dataset fromJson(Path file, List<String> lines, Columns columns) {
        JsonMapper mapper = new JsonMapper();
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            int line = i + 1;
            JsonNode node;
            try {
                node = mapper.readTree(lines.get(i));
            } catch (JsonProcessingException e) {
                throw fault(file, line, "is not valid JSON: " + e.getOriginalMessage());
            }
            List<String> textNames = columns.text().map(List::of).orElse(List.of("text", "sentence"));
            String text = field(file, line, node, textNames);
            String label = field(file, line, node, List.of(columns.label().orElse(LABEL_NAME)));
            examples.add(example(file, text, label, line));
        }
        return new Dataset(file, columns, examples);
    }

    private static String field(Path file, int line, JsonNode node, List<String> names) {
        for (String name : names) {
            if (node.path(name).isValueNode() && !node.path(name).isNull()) {
                return node.get(name).asText();
            }
        }
        throw fault(file, line, "has no field \"" + String.join("\" or \"", names) + "\" with a value");
    }

    /** All labels, sorted: as numbers where all are numbers, else as words. */
    public List<String> labels() {
        List<String> labels =
                examples.stream().map(Example::label).distinct().sorted().toList();
        return labels.stream().allMatch(label -> label.matches("-?\\d{1,9}"))
                ? labels.stream()
                        .sorted((left, right) -> Integer.compare(Integer.parseInt(left), Integer.parseInt(right)))
                        .toList()
                : labels;
    }

    /**
     * The index of each example's label.
     *
     * @throws FormatException naming the line of a label that is not among those given
     */
    public List<Integer> classes(List<String> labels) {
        List<Integer> classes = new ArrayList<>();
        for (Example example : examples) {
            int index = labels.indexOf(example.label());
            if (index < 0) {
                throw fault(
                        file,
                        example.line(),
                        "has the label \"" + example.label()
                                + "\", which the training data does not have; its labels are "
                                + String.join(", ", labels));
            }
            classes.add(index);
        }
        return classes;
    }
}
