package dev.adapt.cli.terminal;

import java.util.Locale;
import java.util.function.IntPredicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Text that cannot control a terminal. Control characters, line separators, unpaired surrogates and invisible format
 * characters, which reorder what is read, are shown as escapes such as {@code \n} and <code>&#92;u001b</code>. The two joiners
 * that Persian and emoji are written with stay as they are.
 */
public final class Printable {
    private static final int NAME = 160;
    private static final int WORD = 1000;
    private static final int MESSAGE = 4000;
    private static final Pattern LONG_WORD = Pattern.compile("\\S{" + (WORD + 1) + ",}");

    private Printable() {}

    /** A name in one line, of at most about 160 characters: the middle of a longer one is left out. */
    public static String name(String name) {
        return line(shortened(name, NAME));
    }

    /** A sentence in one line, of at most about 4,000 characters; the middle of longer words and sentences is left out. */
    public static String message(String message) {
        if (message.length() <= WORD) {
            return line(message);
        }
        String whole = message.length() <= 16 * MESSAGE ? message : shortened(message, MESSAGE);
        String words =
                LONG_WORD.matcher(whole).replaceAll(word -> Matcher.quoteReplacement(shortened(word.group(), WORD)));
        return line(shortened(words, MESSAGE));
    }

    /** All of a text, in one line. */
    public static String line(String text) {
        return escaped(text, Printable::isHarmful, false);
    }

    /** All of a text, with its own line breaks and tabs. */
    public static String lines(String text) {
        return escaped(text, c -> c != '\n' && c != '\t' && isHarmful(c), false);
    }

    /** JSON that holds the same values: what is harmful stands in its strings only, where JSON has escapes for it. */
    public static String json(String json) {
        return escaped(json, c -> c != '\n' && isHarmful(c), true);
    }

    private static boolean isHarmful(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.SURROGATE ->
                true;
            case Character.FORMAT -> c != 0x200c && c != 0x200d;
            default -> false;
        };
    }

    private static String shortened(String text, int most) {
        if (text.length() <= most) {
            return text;
        }
        int head = most * 2 / 3;
        int tail = text.length() - most / 6;
        return text.substring(0, whole(text, head))
                + String.format(Locale.ROOT, "…(%,d characters)…", text.length())
                + text.substring(whole(text, tail));
    }

    /** The place itself, or the one before it where it would cut a character in two. */
    private static int whole(String text, int at) {
        return Character.isLowSurrogate(text.charAt(at)) && Character.isHighSurrogate(text.charAt(at - 1))
                ? at - 1
                : at;
    }

    private static String escaped(String text, IntPredicate harmful, boolean json) {
        if (text.codePoints().noneMatch(harmful)) {
            return text;
        }
        StringBuilder shown = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (harmful.test(c)) {
                shown.append(json ? jsonEscape(c) : escape(c));
            } else {
                shown.appendCodePoint(c);
            }
        });
        return shown.toString();
    }

    private static String escape(int c) {
        return switch (c) {
            case '\n' -> "\\n";
            case '\r' -> "\\r";
            case '\t' -> "\\t";
            default -> String.format(c > 0xffff ? "\\u{%x}" : "\\u%04x", c);
        };
    }

    private static String jsonEscape(int c) {
        StringBuilder units = new StringBuilder();
        for (char unit : Character.toChars(c)) {
            units.append(String.format("\\u%04x", (int) unit));
        }
        return units.toString();
    }
}
