package dev.adapt.train;

import static dev.adapt.train.Lines.fault;

import dev.adapt.formats.FormatException;
import dev.adapt.train.Lines.Row;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A table by RFC 4180: commas, double quotes around a cell where it needs them, two for one inside. */
final class Csv {
    private final Path file;
    private final List<String> lines;
    private final List<Row> rows = new ArrayList<>();
    private int line;
    private int at;

    private Csv(Path file, List<String> lines) {
        this.file = file;
        this.lines = lines;
    }

    /**
     * The rows of a file's lines; a quoted cell may reach over several.
     *
     * @throws FormatException naming the line of a quote that is open to the end or for longer than a line may be, of text
     *     after a closing quote, or of a blank row
     */
    static List<Row> rows(Path file, List<String> lines) {
        if (lines.isEmpty() || (lines.size() == 1 && lines.getFirst().isEmpty())) {
            throw new FormatException(file, "holds no examples");
        }
        Csv csv = new Csv(file, lines);
        while (csv.line < lines.size()) {
            csv.row();
        }
        return csv.rows;
    }

    private void row() {
        int begun = line;
        List<String> cells = new ArrayList<>();
        at = 0;
        while (true) {
            cells.add(at < text().length() && text().charAt(at) == '"' ? quoted() : plain());
            if (at == text().length()) {
                break;
            }
            at++; // the comma
        }
        if (cells.size() == 1 && cells.getFirst().isBlank()) {
            throw Lines.blank(file, begun + 1);
        }
        rows.add(new Row(cells, begun + 1));
        line++;
    }

    private String text() {
        return lines.get(line);
    }

    private String plain() {
        int comma = text().indexOf(',', at);
        int end = comma < 0 ? text().length() : comma;
        String cell = text().substring(at, end);
        at = end;
        return cell;
    }

    private String quoted() {
        int opened = line + 1;
        StringBuilder cell = new StringBuilder();
        at++;
        while (true) {
            int quote = text().indexOf('"', at);
            cell.append(text(), at, quote < 0 ? text().length() : quote);
            if (quote < 0) {
                if (line + 1 == lines.size() || cell.length() > Lines.MOST_BYTES) {
                    String within = line + 1 == lines.size() ? "" : " within " + (Lines.MOST_BYTES >> 20) + " MiB";
                    throw fault(file, opened, "opens a quote that nothing closes" + within);
                }
                cell.append('\n');
                line++;
                at = 0;
            } else if (quote + 1 < text().length() && text().charAt(quote + 1) == '"') {
                cell.append('"');
                at = quote + 2;
            } else {
                at = quote + 1;
                break;
            }
        }
        if (at < text().length() && text().charAt(at) != ',') {
            throw fault(file, line + 1, "has text after a closing quote; a quote inside a cell is written twice");
        }
        return cell.toString();
    }
}
