package dev.adapt.train;

import com.fasterxml.jackson.core.JsonProcessingException;
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

/** A data file's lines: rows of cells, or JSON values. */
final class Lines {
    /** A row of a table, and the line it begins on, from 1. */
    record Row(List<String> cells, int line) {
        Row {
            cells = List.copyOf(cells);
        }
    }

    private Lines() {}

    /** A fault of a line, counted from 1. */
    static FormatException fault(Path file, int line, String reason) {
        return new FormatException(file, "line " + line, reason);
    }

    /** Whether a file's name ends so, in any case. */
    static boolean named(Path file, String... endings) {
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

    private static FormatException blank(Path file, int line) {
        return fault(file, line, "is empty, expected an example; remove the line");
    }

    private static List<String> split(Path file) throws IOException {
        byte[] bytes = InputFile.named(file).bytes(Limit.DATA);
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
            start = end + 1;
        }
        return lines;
    }

    /** The JSON value on each line. */
    static List<JsonNode> json(Path file) throws IOException {
        JsonMapper mapper = new JsonMapper();
        List<JsonNode> values = new ArrayList<>();
        for (String line : of(file)) {
            try {
                values.add(mapper.readTree(line));
            } catch (JsonProcessingException e) {
                throw fault(file, values.size() + 1, "is not valid JSON: " + e.getOriginalMessage());
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
            return csv(file);
        }
        List<String> lines = of(file);
        List<Row> rows = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            rows.add(new Row(List.of(lines.get(i).split("\t", -1)), i + 1));
        }
        return rows;
    }

    private static List<Row> csv(Path file) throws IOException {
        String text = String.join("\n", split(file));
        if (text.isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        List<Row> rows = new ArrayList<>();
        List<String> cells = new ArrayList<>();
        int line = 1;
        int begun = 1;
        for (int at = 0; at <= text.length(); at++) {
            StringBuilder cell = new StringBuilder();
            if (at < text.length() && text.charAt(at) == '"') {
                int opened = line;
                for (at++; ; at++) {
                    if (at == text.length()) {
                        throw fault(file, opened, "opens a quote that nothing closes");
                    }
                    char c = text.charAt(at);
                    if (c == '"') {
                        if (at + 1 == text.length() || text.charAt(at + 1) != '"') {
                            at++;
                            break;
                        }
                        at++;
                    }
                    line += c == '\n' ? 1 : 0;
                    cell.append(c);
                }
                if (at < text.length() && text.charAt(at) != ',' && text.charAt(at) != '\n') {
                    throw fault(file, line, "has text after a closing quote; a quote inside a cell is written twice");
                }
            } else {
                while (at < text.length() && text.charAt(at) != ',' && text.charAt(at) != '\n') {
                    cell.append(text.charAt(at++));
                }
            }
            cells.add(cell.toString());
            if (at == text.length() || text.charAt(at) == '\n') {
                if (cells.size() == 1 && cell.toString().isBlank()) {
                    throw blank(file, begun);
                }
                rows.add(new Row(cells, begun));
                cells.clear();
                begun = ++line;
            }
        }
        return rows;
    }
}
