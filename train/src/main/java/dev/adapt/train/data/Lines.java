package dev.adapt.train.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** A data file's lines: rows of cells, or JSON values. */
public final class Lines {
    /** A row of a table, and the line it begins on, from 1. */
    record Row(List<String> cells, int line) {
        Row {
            cells = List.copyOf(cells);
        }
    }

    /** The longest line: a book is shorter, and parsers and tokenizers take many times a line's memory. */
    static final int MOST_BYTES = 4 << 20;

    private static final int MOST_BLANKS = 1_000_000;

    /** U+FEFF, by which some editors say that a file is UTF-8. */
    static final String MARK = "\uFEFF";

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private Lines() {}

    /** A fault of a line, counted from 1. */
    public static FormatException fault(Path file, int line, String reason) {
        return new FormatException(file, "line " + line, reason);
    }

    /** Whether a file's name ends so, in any case. */
    public static boolean named(Path file, String... endings) {
        String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
        return List.of(endings).stream().anyMatch(name::endsWith);
    }

    /**
     * The lines of a file, none of them blank.
     *
     * @throws FormatException naming a line that is blank or not UTF-8, or if there is none
     */
    static List<String> of(Path file) throws IOException {
        List<String> lines = split(file);
        for (int i = 0; i < lines.size(); i++) {
            if (lines.get(i).isBlank()) {
                throw blank(file, i + 1);
            }
        }
        if (lines.isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        return lines;
    }

    static FormatException blank(Path file, int line) {
        return fault(file, line, "is empty, expected an example; remove the line");
    }

    private static List<String> split(Path file) throws IOException {
        try (LineReader reader = new LineReader(file)) {
            List<String> lines = new ArrayList<>();
            for (Optional<String> line = reader.next(); line.isPresent(); line = reader.next()) {
                lines.add(line.get());
            }
            return lines;
        }
    }

    /** Decodes UTF-8 without NUL. */
    static String text(Path file, String place, byte[] bytes, int length) {
        try {
            String text = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes, 0, length))
                    .toString();
            if (text.indexOf('\0') >= 0) {
                throw new FormatException(
                        file, place, "holds a NUL character; if the file is UTF-16, save it as UTF-8");
            }
            return text;
        } catch (CharacterCodingException e) {
            boolean wide = bytes.length > 1 && (bytes[0] & 0xff) + (bytes[1] & 0xff) == 0xff + 0xfe;
            throw new FormatException(
                    file, place, "is not valid UTF-8" + (wide ? " but UTF-16: save it as UTF-8" : ""));
        }
    }

    /**
     * A whole file as one text.
     *
     * @throws FormatException if it is not UTF-8, or longer than a text may be
     */
    public static String document(Path file) throws IOException {
        byte[] bytes = InputFile.named(file).bytes(Limit.DOCUMENT);
        String text = text(file, "text", bytes, bytes.length);
        requireWords(file, text);
        return text.startsWith(MARK) ? text.substring(1) : text;
    }

    /** Hugging Face's tokenizers end the process when a pattern as usual as GPT-2's meets some million blanks in a row. */
    private static void requireWords(Path file, String text) {
        int begun = 0;
        for (int i = 0; i < text.length(); i++) {
            if (!Character.isWhitespace(text.charAt(i))) {
                begun = i + 1;
            } else if (i - begun >= MOST_BLANKS) {
                throw new FormatException(file, "holds more than " + MOST_BLANKS + " blanks in a row; remove them");
            }
        }
    }

    /** The JSON value on each line. */
    public static List<JsonNode> json(Path file) throws IOException {
        List<JsonNode> values = new ArrayList<>();
        for (String line : of(file)) {
            try {
                values.add(JSON.readTree(line));
            } catch (JsonProcessingException e) {
                throw fault(file, values.size() + 1, "is not valid JSON: " + Shown.of(e.getOriginalMessage()));
            }
        }
        return values;
    }

    /**
     * The rows of a table. A file called {@code .csv} is read by RFC 4180: commas, double quotes around a cell where it
     * needs them, two for one inside; a cell may hold line breaks. All else is read without quoting: a tab ends a cell, a
     * line feed ends a row.
     */
    static List<Row> rows(Path file) throws IOException {
        if (named(file, ".csv")) {
            try (LineReader lines = new LineReader(file)) {
                return Csv.rows(file, lines);
            }
        }
        List<String> lines = of(file);
        List<Row> rows = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            rows.add(new Row(List.of(lines.get(i).split("\t", -1)), i + 1));
        }
        return rows;
    }
}
