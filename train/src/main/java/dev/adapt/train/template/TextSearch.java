package dev.adapt.train.template;

/** Finds a text in others, in time linear in both: Java's own search takes their product where both repeat. */
final class TextSearch {
    /** Up to this many characters Java's search is fast, and its product small. */
    private static final int SHORT = 16;

    private final String part;
    /** For each prefix of the part, how long a proper prefix of it is also its end (Knuth, Morris and Pratt). */
    private final int[] overlap;

    TextSearch(String part) {
        this.part = part;
        this.overlap = new int[part.length() <= SHORT ? 0 : part.length()];
        int matched = 0;
        for (int i = 1; i < overlap.length; i++) {
            matched = matched(part.charAt(i), matched);
            overlap[i] = matched;
        }
    }

    private int matched(char next, int before) {
        int matched = before;
        while (matched > 0 && part.charAt(matched) != next) {
            matched = overlap[matched - 1];
        }
        return part.charAt(matched) == next ? matched + 1 : matched;
    }

    /** Where the part begins in {@code text}, at {@code from} or later, or -1. */
    int in(String text, int from) {
        if (overlap.length == 0) {
            return text.indexOf(part, from);
        }
        int matched = 0;
        for (int i = from; i < text.length(); i++) {
            matched = matched(text.charAt(i), matched);
            if (matched == part.length()) {
                return i + 1 - matched;
            }
        }
        return -1;
    }

    /** Where the part begins last in the first {@code end} characters of {@code text}, or -1. */
    static int last(String text, String part, int end) {
        if (part.length() <= SHORT) {
            return part.length() > end ? -1 : text.lastIndexOf(part, end - part.length());
        }
        String reversed = reversed(text.substring(0, end));
        int at = new TextSearch(reversed(part)).in(reversed, 0);
        return at < 0 ? -1 : end - at - part.length();
    }

    /** By UTF-16 code unit, unlike {@link StringBuilder#reverse}. */
    private static String reversed(String text) {
        char[] characters = new char[text.length()];
        for (int i = 0; i < characters.length; i++) {
            characters[i] = text.charAt(characters.length - 1 - i);
        }
        return String.valueOf(characters);
    }
}
