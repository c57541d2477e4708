package dev.adapt.cli.report;

import dev.adapt.cli.terminal.TextTable;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A table of a paper beside what is counted here: figures that differ are marked, and said why. */
public final class PaperTable {
    private static final Pattern FIGURE = Pattern.compile("([\\d,]+)(?:\\.(\\d+))? ?([KMG]?)(B?)");

    private final String title;
    private final TextTable table;
    private final Map<String, Integer> notes = new LinkedHashMap<>();
    private int differing;

    public PaperTable(String title, String... headings) {
        this.title = title;
        this.table = new TextTable(headings);
    }

    /** A row: words first, then what is counted and the paper's figure in turns. */
    public void row(List<String> words, List<Cell> cells) {
        List<Object> row = new ArrayList<>(words);
        for (Cell cell : cells) {
            row.add(cell.found());
            row.add(cell.paper() + mark(cell));
        }
        table.row(row.toArray());
    }

    private String mark(Cell cell) {
        if (cell.agrees()) {
            return "";
        }
        differing++;
        return " [" + notes.computeIfAbsent(cell.why(), absent -> notes.size() + 1) + "]";
    }

    /** How many figures differ from the paper's. */
    int differing() {
        return differing;
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(title).append("\n\n").append(table);
        notes.forEach((note, number) ->
                text.append('[').append(number).append("] ").append(note).append('\n'));
        return text.toString();
    }

    /**
     * A figure.
     *
     * @param count what is counted here
     * @param paper as the paper prints it: {@code 36.8K}, {@code 2MB}, {@code 294,912}; bytes in powers of 1024
     * @param why they differ, where they do
     */
    public record Cell(long count, String paper, String why) {
        public Cell {
            if (!FIGURE.matcher(paper).matches()) {
                throw new IllegalArgumentException("no figure: " + paper);
            }
        }

        /** The count in the paper's unit, to one digit more. */
        String found() {
            Matcher figure = figure();
            String unit = figure.group(3) + figure.group(4);
            return unit.isEmpty()
                    ? String.format(Locale.ROOT, "%,d", count)
                    : scaled().setScale(digits() + 1, RoundingMode.HALF_EVEN).toPlainString() + unit;
        }

        /** Whether the paper's figure is this count, rounded or cut to its digits. */
        boolean agrees() {
            Matcher figure = figure();
            String digits = figure.group(1).replace(",", "");
            BigDecimal printed = new BigDecimal(figure.group(2) == null ? digits : digits + "." + figure.group(2));
            return List.of(RoundingMode.HALF_UP, RoundingMode.DOWN).stream()
                    .anyMatch(mode -> scaled().setScale(digits(), mode).compareTo(printed) == 0);
        }

        private Matcher figure() {
            Matcher figure = FIGURE.matcher(paper);
            if (!figure.matches()) {
                throw new IllegalStateException(paper);
            }
            return figure;
        }

        private int digits() {
            String digits = figure().group(2);
            return digits == null ? 0 : digits.length();
        }

        private BigDecimal scaled() {
            Matcher figure = figure();
            int power = " KMG".indexOf(figure.group(3).isEmpty() ? " " : figure.group(3));
            BigDecimal step = BigDecimal.valueOf(figure.group(4).isEmpty() ? 1000 : 1024);
            return BigDecimal.valueOf(count).divide(step.pow(power));
        }
    }
}
