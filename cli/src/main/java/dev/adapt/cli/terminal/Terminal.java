package dev.adapt.cli.terminal;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.verify.compare.Report;
import java.io.ByteArrayOutputStream;
import java.io.Console;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Help.Ansi;

/**
 * Standard output and standard error. Every message, table and progress line is printed here and nowhere else, as
 * {@link Printable} text: what a file names itself cannot move the cursor, forge a line or hide a part of one.
 */
public final class Terminal {
    private static final Pattern VERDICT =
            Pattern.compile("(?m)(?<=^ {0,6})(PASS|FAIL|ERROR)(?=: |  )|\\b(PASS|FAIL)$");

    private Terminal() {}

    /** Prints one line: line breaks in it, which can only come from a name, are escaped. */
    public static void line(String text) {
        System.out.println(Printable.message(text));
    }

    /** Prints one line in the format of {@link String#format}, numbers as in English. */
    @SuppressWarnings("AnnotateFormatMethod") // would cost a dependency on annotations for one method
    public static void line(String format, @Nullable Object... arguments) {
        line(String.format(Locale.ROOT, format, arguments));
    }

    /** Prints lines that adapt composed, of names that are {@link Printable} already. */
    public static void lines(String text) {
        System.out.print(Printable.lines(text));
    }

    /** Shows what was printed without waiting for the end of a line. */
    public static void flush() {
        System.out.flush();
    }

    /**
     * What a command returned.
     *
     * @param text what it printed
     */
    public record Captured<T>(T result, String text) {}

    /** Runs a command, whose standard output is kept and not printed. Nothing else may print meanwhile. */
    public static <T> Captured<T> capture(Callable<T> command) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        PrintStream out = System.out;
        try (PrintStream captured = new PrintStream(bytes, false, StandardCharsets.UTF_8)) {
            System.setOut(captured);
            T result = command.call();
            captured.flush();
            return new Captured<>(result, bytes.toString(StandardCharsets.UTF_8));
        } finally {
            System.setOut(out);
        }
    }

    /** Prints a table and an empty line. */
    public static void table(TextTable table) {
        lines(table + "\n");
    }

    /** Prints JSON. Numbers that JSON does not have are strings: "NaN", "Infinity", "-Infinity". */
    public static void json(JsonNode json) {
        json(json.toPrettyString());
    }

    /** Prints JSON text. */
    public static void json(String json) {
        System.out.println(Printable.json(json));
    }

    /** Prints JSON text as one line, whoever reads it waiting for that line. */
    public static void jsonLine(String json) {
        System.out.println(Printable.json(json));
        System.out.flush();
    }

    /** Prints what a verification found. */
    public static void report(Report report) {
        verdicts(report.map(Printable::message).text().stripTrailing() + "\n");
    }

    /** Prints lines that adapt composed; at a terminal PASS at their start or end is green, FAIL and ERROR are red. */
    public static void verdicts(String text) {
        System.out.print(VERDICT.matcher(Printable.lines(text)).replaceAll(found -> coloured(found.group())));
    }

    /** NO_COLOR and {@code --no-color} are heard by picocli. */
    private static String coloured(String verdict) {
        return Ansi.AUTO.string("@|bold," + (verdict.equals("PASS") ? "green " : "red ") + verdict + "|@");
    }

    /** Prints a line on standard error. */
    public static void progress(String text) {
        System.err.println(Printable.message(text));
    }

    /** Prints on standard error what a user should know and did not ask for. */
    public static void note(String text) {
        progress("adapt: note: " + text);
    }

    /** Draws a line on standard error over the one before it; for terminals. */
    static void redraw(String text) {
        System.err.print("\r" + Printable.message(text) + "\u001b[K");
        System.err.flush();
    }

    /** Ends the line that was drawn last. */
    static void endRedrawn() {
        System.err.println();
    }

    /** Whether a person watches. */
    @SuppressWarnings("SystemConsoleNull") // JDK 25 went back to null where there is no terminal
    public static boolean isWatched() {
        Console console = System.console();
        return console != null && console.isTerminal();
    }
}
