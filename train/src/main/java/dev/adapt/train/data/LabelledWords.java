package dev.adapt.train.data;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Sentences of which each word has a label.
 *
 * <p>A file whose name ends with {@code .jsonl} or {@code .json} holds a sentence on each line, with a list of words and a list
 * of labels. All else is read as CoNLL's files are: a word on each line, in columns that tabs or, without them, blanks part;
 * the first column is the word and the last its label; an empty line ends a sentence, and lines of {@code -DOCSTART-} count as
 * empty.
 */
public record LabelledWords(Path file, List<Sentence> sentences) {
    private static final List<String> WORDS = List.of("tokens", "words");
    private static final List<String> LABELS = List.of("labels", "tags", "ner_tags");
    private static final String DOCUMENT = "-DOCSTART-";

    /** The words of a sentence with their labels, and the line it begins on, from 1. */
    public record Sentence(List<String> words, List<String> labels, int line) {
        public Sentence {
            words = List.copyOf(words);
            labels = List.copyOf(labels);
        }
    }

    public LabelledWords {
        sentences = List.copyOf(sentences);
    }

    /**
     * Reads a file whole.
     *
     * @param columns the names of the lists, or the numbers of the columns from 1, where they are others than usual
     * @throws FormatException naming the line that is not as it must be
     */
    public static LabelledWords read(Path file, Dataset.Columns columns) throws IOException {
        List<Sentence> sentences =
                Lines.named(file, ".jsonl", ".json") ? fromJson(file, columns) : fromTable(file, columns);
        if (sentences.isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        return new LabelledWords(file, sentences);
    }

    private static List<Sentence> fromJson(Path file, Dataset.Columns columns) throws IOException {
        List<JsonNode> lines = Lines.json(file);
        List<Sentence> sentences = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            int line = i + 1;
            List<String> words =
                    strings(file, line, lines.get(i), columns.text().stream().findFirst(), WORDS);
            List<String> labels = strings(file, line, lines.get(i), columns.label(), LABELS);
            if (words.size() != labels.size()) {
                throw Lines.fault(
                        file,
                        line,
                        "has " + words.size() + " words and " + labels.size() + " labels; each word needs one");
            }
            sentences.add(new Sentence(words, labels, line));
        }
        return sentences;
    }

    private static List<String> strings(
            Path file, int line, JsonNode node, Optional<String> given, List<String> usual) {
        String field =
                given.or(() -> usual.stream().filter(node::has).findFirst()).orElse(usual.getFirst());
        List<String> strings = new ArrayList<>();
        for (JsonNode each : node.path(field)) {
            if (!each.isTextual() || each.asText().isBlank()) {
                throw Lines.fault(
                        file, line, "holds " + Shown.of(each.toString()) + " in \"" + field + "\", expected words");
            }
            strings.add(each.asText());
        }
        if (strings.isEmpty()) {
            throw Lines.fault(file, line, "has no list \"" + field + "\" of words");
        }
        return strings;
    }

    private static List<Sentence> fromTable(Path file, Dataset.Columns columns) throws IOException {
        List<Sentence> sentences = new ArrayList<>();
        List<String> words = new ArrayList<>();
        List<String> labels = new ArrayList<>();
        boolean header = columns.header().orElse(false);
        try (LineReader reader = new LineReader(file)) {
            for (Optional<String> line = reader.next(); line.isPresent(); line = reader.next()) {
                boolean ends = line.get().isBlank() || line.get().startsWith(DOCUMENT);
                if (ends && !words.isEmpty()) {
                    sentences.add(new Sentence(words, labels, reader.number() - words.size()));
                    words.clear();
                    labels.clear();
                }
                if (!ends && !(header && reader.number() == 1)) {
                    String[] cells = line.get().strip().split(line.get().contains("\t") ? "\t" : "\\s+", -1);
                    words.add(cell(
                            file,
                            reader.number(),
                            cells,
                            columns.text().stream().findFirst(),
                            1));
                    labels.add(cell(file, reader.number(), cells, columns.label(), cells.length));
                }
            }
            if (!words.isEmpty()) {
                sentences.add(new Sentence(words, labels, reader.number() - words.size() + 1));
            }
        }
        return sentences;
    }

    private static String cell(Path file, int line, String[] cells, Optional<String> given, int usual) {
        int number = given.map(own -> own.matches("[1-9]\\d{0,5}") ? Integer.parseInt(own) : 0)
                .orElse(usual);
        if (cells.length < 2 || number < 1 || number > cells.length || cells[number - 1].isBlank()) {
            throw Lines.fault(
                    file,
                    line,
                    "has " + cells.length + " columns, expected a word and its label"
                            + given.map(own -> ", one of them in column " + own).orElse(""));
        }
        return cells[number - 1].strip();
    }

    /** All labels, in order. */
    public List<String> labels() {
        return Dataset.sorted(sentences.stream()
                .flatMap(sentence -> sentence.labels().stream())
                .toList());
    }

    /**
     * The indices of each sentence's labels.
     *
     * @throws FormatException naming the line of a label that is not among those given
     */
    public List<int[]> classes(List<String> labels) {
        Map<String, Integer> byLabel = Dataset.indices(labels);
        List<int[]> classes = new ArrayList<>();
        for (Sentence sentence : sentences) {
            Optional<String> unknown = sentence.labels().stream()
                    .filter(label -> !byLabel.containsKey(label))
                    .findFirst();
            if (unknown.isPresent()) {
                throw Lines.fault(
                        file,
                        sentence.line(),
                        "begins a sentence with the label \"" + Shown.of(unknown.get())
                                + "\", which the training data does not have; its labels are " + Shown.of(labels));
            }
            classes.add(sentence.labels().stream()
                    .mapToInt(label -> byLabel.getOrDefault(label, -1))
                    .toArray());
        }
        return classes;
    }

    /** All words of a sentence as one text. */
    public static String text(Sentence sentence) {
        return String.join(" ", sentence.words());
    }

    /** The word of each code point of that text, from 0; of a blank the word before it. */
    public static int[] wordsOfText(Sentence sentence) {
        IntStream.Builder words = IntStream.builder();
        for (int i = 0; i < sentence.words().size(); i++) {
            String word = sentence.words().get(i);
            for (int point = 0; point <= word.codePointCount(0, word.length()); point++) {
                words.add(i);
            }
        }
        return words.build().toArray();
    }
}
