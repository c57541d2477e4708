package dev.adapt.train.data;

import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** Text of a file as a message quotes it: on one line, and not longer than a line. */
public final class Shown {
    private static final int MOST = 80;
    private static final int MOST_NAMES = 20;

    private Shown() {}

    /** The beginning of a text; control characters, which could change a terminal, are written as escapes. */
    public static String of(String text) {
        StringBuilder shown = new StringBuilder();
        for (int i = 0; i < Math.min(text.length(), MOST); i++) {
            char c = text.charAt(i);
            boolean plain = !Character.isISOControl(c) && Character.getType(c) != Character.FORMAT;
            shown.append(plain ? String.valueOf(c) : String.format(Locale.ROOT, "\\u%04x", (int) c));
        }
        return text.length() <= MOST
                ? shown.toString()
                : shown + String.format(Locale.ROOT, "… (%,d characters)", text.length());
    }

    /** The first of some names. */
    public static String of(List<String> names) {
        String first = names.stream().limit(MOST_NAMES).map(Shown::of).collect(Collectors.joining(", "));
        return names.size() <= MOST_NAMES
                ? first
                : first + String.format(Locale.ROOT, " and %,d more", names.size() - MOST_NAMES);
    }
}
