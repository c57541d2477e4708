package dev.adapt.train.data;

import static dev.adapt.train.data.Lines.fault;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.IntStream;

/**
 * Questions with the passages that answer them, from a TSV, CSV or JSONL file.
 *
 * <p>A table has the question, the passage and then passages that answer it not, which may be empty. Its first line is a
 * header if that names a question and a passage column. A line of JSON names them the same, and may give the passages that
 * do not answer as a list.
 *
 * @param examples a question may stand in several, each with another passage
 */
public record Questions(Path file, List<Example> examples) {
    private static final List<String> QUESTION = List.of("query", "question", "anchor");
    private static final List<String> PASSAGE = List.of("passage", "positive", "document", "answer");

    /** What the name of a column begins with whose passages do not answer. */
    private static final String NEGATIVE = "negative";

    /**
     * A question.
     *
     * @param passage one that answers it
     * @param negatives passages that do not, though they may look as if
     */
    public record Example(String question, String passage, List<String> negatives) {
        public Example {
            negatives = List.copyOf(negatives);
        }
    }

    public Questions {
        examples = List.copyOf(examples);
    }

    /**
     * Reads a file whole.
     *
     * @param columns the text columns are the question's and the passage's, where they are not called as usual
     * @throws FormatException naming the line, if a question or a passage is missing or empty
     */
    public static Questions read(Path file, Dataset.Columns columns) throws IOException {
        if (columns.text().size() == 1) {
            throw new UsageException(
                    "text-column", "expected two columns, of the question and of the passage, found one");
        }
        return new Questions(
                file, Lines.named(file, ".jsonl", ".json") ? fromJson(file, columns) : fromTable(file, columns));
    }

    private static List<Example> fromJson(Path file, Dataset.Columns columns) throws IOException {
        List<JsonNode> lines = Lines.json(file);
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            JsonNode node = lines.get(i);
            int line = i + 1;
            List<String> negatives = new ArrayList<>();
            for (Map.Entry<String, JsonNode> field : node.properties()) {
                if (field.getKey().startsWith(NEGATIVE)) {
                    JsonNode value = field.getValue();
                    (value.isArray() ? value : List.of(value)).forEach(each -> negatives.add(text(file, line, each)));
                }
            }
            examples.add(new Example(
                    text(file, line, node.path(name(file, line, node, columns, 0))),
                    text(file, line, node.path(name(file, line, node, columns, 1))),
                    negatives));
        }
        return examples;
    }

    private static String name(Path file, int line, JsonNode node, Dataset.Columns columns, int which) {
        List<String> usual = usual(which);
        return columns.text().isEmpty()
                ? usual.stream()
                        .filter(node::has)
                        .findFirst()
                        .orElseThrow(() -> fault(file, line, "has no field " + String.join(" or ", usual)))
                : columns.text().get(which);
    }

    private static List<String> usual(int which) {
        return which == 0 ? QUESTION : PASSAGE;
    }

    private static String text(Path file, int line, JsonNode value) {
        if (!value.isTextual()) {
            throw fault(file, line, "holds " + Shown.of(value.toString()) + ", expected a text");
        }
        return required(file, line, value.textValue());
    }

    private static String required(Path file, int line, String text) {
        if (text.isBlank()) {
            throw fault(file, line, "has an empty text");
        }
        return text;
    }

    private static List<Example> fromTable(Path file, Dataset.Columns columns) throws IOException {
        List<Lines.Row> rows = Lines.rows(file);
        List<String> first = rows.getFirst().cells();
        Optional<List<Integer>> named = named(first, columns);
        boolean header = columns.header().orElse(named.isPresent());
        List<Integer> places = header
                ? named.orElseThrow(
                        () -> fault(file, 1, "names no question and passage; say which with two text columns"))
                : numbered(file, first.size(), columns);
        List<Example> examples = new ArrayList<>();
        for (Lines.Row row : header ? rows.subList(1, rows.size()) : rows) {
            examples.add(example(file, row, places));
        }
        if (examples.isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        return examples;
    }

    /** The columns of the question, of the passage and of passages that do not answer, by their names. */
    private static Optional<List<Integer>> named(List<String> names, Dataset.Columns columns) {
        List<Integer> places = new ArrayList<>();
        for (int which = 0; which < 2; which++) {
            List<String> wanted = columns.text().isEmpty()
                    ? usual(which)
                    : List.of(columns.text().get(which));
            wanted.stream().filter(names::contains).findFirst().ifPresent(name -> places.add(names.indexOf(name)));
        }
        if (places.size() < 2) {
            return Optional.empty();
        }
        IntStream.range(0, names.size())
                .filter(at -> names.get(at).startsWith(NEGATIVE) && !places.contains(at))
                .forEach(places::add);
        return Optional.of(places);
    }

    private static List<Integer> numbered(Path file, int width, Dataset.Columns columns) {
        List<Integer> places = new ArrayList<>();
        for (String given : columns.text()) {
            if (!given.matches("[1-9]\\d{0,5}") || Integer.parseInt(given) > width) {
                throw fault(file, 1, "has no column \"" + given + "\" among its " + width);
            }
            places.add(Integer.parseInt(given) - 1);
        }
        if (places.isEmpty()) {
            if (width < 2) {
                throw fault(file, 1, "has one column, expected a question and a passage");
            }
            IntStream.range(0, width).forEach(places::add);
        }
        return places;
    }

    private static Example example(Path file, Lines.Row row, List<Integer> places) {
        List<String> cells = row.cells();
        if (cells.size() <= Math.max(places.get(0), places.get(1))) {
            throw fault(file, row.line(), "has " + cells.size() + " columns, expected a question and a passage");
        }
        return new Example(
                required(file, row.line(), cells.get(places.get(0))),
                required(file, row.line(), cells.get(places.get(1))),
                places.subList(2, places.size()).stream()
                        .filter(at -> at < cells.size() && !cells.get(at).isBlank())
                        .map(cells::get)
                        .toList());
    }

    /** Each question once, with its number. */
    public SequencedMap<String, Integer> questions() {
        SequencedMap<String, Integer> numbers = new LinkedHashMap<>();
        examples.forEach(own -> numbers.putIfAbsent(own.question(), numbers.size()));
        return numbers;
    }

    /** Each passage once, whether it answers or not, with its number. */
    public SequencedMap<String, Integer> passages() {
        SequencedMap<String, Integer> numbers = new LinkedHashMap<>();
        for (Example own : examples) {
            numbers.putIfAbsent(own.passage(), numbers.size());
            own.negatives().forEach(text -> numbers.putIfAbsent(text, numbers.size()));
        }
        return numbers;
    }
}
