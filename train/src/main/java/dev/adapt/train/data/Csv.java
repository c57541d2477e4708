package dev.adapt.train.data;

import static dev.adapt.train.data.Lines.fault;

import dev.adapt.formats.FormatException;
import dev.adapt.train.data.Lines.Row;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A table by RFC 4180: commas, double quotes around a cell where it needs them, two for one inside. */
final class Csv {
    private final Path file;
    private final LineReader lines;
    private String text = "";
    private int at;

    private Csv(Path file, LineReader lines) {
        this.file = file;
        this.lines = lines;
    }

    /**
     * The rows of a file's lines; a quoted cell may reach over several.
     *
     * @throws FormatException naming the line of a quote that is open to the end or for longer than a line may be, of text
     *     after a closing quote, or of a blank row
     */
    static List<Row> rows(Path file, LineReader lines) throws IOException {
        Csv csv = new Csv(file, lines);
        List<Row> rows = new ArrayList<>();
        while (csv.nextLine()) {
            rows.add(csv.row());
        }
        if (rows.isEmpty()) {
            throw new FormatException(file, "holds no examples");
        }
        return rows;
    }

    private boolean nextLine() throws IOException {
        Optional<String> next = lines.next();
        text = next.orElse("");
        at = 0;
        return next.isPresent();
    }

    private Row row() throws IOException {
        int begun = lines.number();
        List<String> cells = new ArrayList<>();
        while (true) {
            cells.add(at < text.length() && text.charAt(at) == '"' ? quoted() : plain());
            if (at == text.length()) {
                break;
            }
            at++; // the comma
        }
        if (cells.size() == 1 && cells.getFirst().isBlank()) {
            throw Lines.blank(file, begun);
        }
        return new Row(cells, begun);
    }

    private String plain() {
        int comma = text.indexOf(',', at);
        int end = comma < 0 ? text.length() : comma;
        String cell = text.substring(at, end);
        at = end;
        return cell;
    }

    private String quoted() throws IOException {
        int opened = lines.number();
        StringBuilder cell = new StringBuilder();
        at++;
        while (true) {
            int quote = text.indexOf('"', at);
            cell.append(text, at, quote < 0 ? text.length() : quote);
            if (quote < 0) {
                if (cell.length() > Lines.MOST_BYTES) {
                    throw fault(
                            file,
                            opened,
                            "opens a quote that nothing closes within " + (Lines.MOST_BYTES >> 20) + " MiB");
                }
                if (!nextLine()) {
                    throw fault(file, opened, "opens a quote that nothing closes");
                }
                cell.append('\n');
            } else if (quote + 1 < text.length() && text.charAt(quote + 1) == '"') {
                cell.append('"');
                at = quote + 2;
            } else {
                at = quote + 1;
                break;
            }
        }
        if (at < text.length() && text.charAt(at) != ',') {
            throw fault(file, lines.number(), "has text after a closing quote; a quote inside a cell is written twice");
        }
        return cell.toString();
    }
}
