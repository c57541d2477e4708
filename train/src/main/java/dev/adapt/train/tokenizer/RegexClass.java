package dev.adapt.train.tokenizer;

import dev.adapt.train.tokenizer.RegexParser.RefusedException;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;

/** A character class of Oniguruma's, translated to Java's syntax: the two differ in few escapes. */
final class RegexClass {
    private static final int MOST_NESTED = 20;
    private static final Map<String, String> POSIX = Map.ofEntries(
            Map.entry("alpha", "\\p{IsAlphabetic}"),
            Map.entry("alnum", "\\p{IsAlphabetic}\\d"),
            Map.entry("digit", "\\d"),
            Map.entry("space", "\\s"),
            Map.entry("blank", " \\t\\p{Zs}"),
            Map.entry("upper", "\\p{Lu}"),
            Map.entry("lower", "\\p{Ll}"),
            Map.entry("punct", "\\p{P}\\p{S}"),
            Map.entry("cntrl", "\\p{Cntrl}"),
            Map.entry("xdigit", "0-9a-fA-F"),
            Map.entry("word", "\\w"));

    private final String text;
    private final StringBuilder java = new StringBuilder();
    private int at;
    private int depth;

    /**
     * A class that begins at {@code start}.
     *
     * @param end told where it ends
     */
    RegexClass(String text, int start, IntConsumer end) {
        this.text = text;
        this.at = start;
        brackets();
        end.accept(at);
    }

    String java() {
        return java.toString();
    }

    private void brackets() {
        if (++depth > MOST_NESTED) {
            throw new RefusedException("nests classes deeper than " + MOST_NESTED);
        }
        java.append('[');
        at++;
        if (text.startsWith("^", at)) {
            java.append('^');
            at++;
        }
        if (text.startsWith("]", at)) {
            java.append("\\]");
            at++;
        }
        while (at < text.length() && text.charAt(at) != ']') {
            if (text.startsWith("[:", at) && text.indexOf(":]", at) > 0) {
                posix();
            } else if (text.charAt(at) == '[') {
                brackets();
            } else if (text.charAt(at) == '\\') {
                java.append(escape(text, at, position -> at = position));
            } else {
                java.append(text.charAt(at++));
            }
        }
        if (at == text.length()) {
            throw new RefusedException("has a class that nothing closes");
        }
        java.append(']');
        at++;
        depth--;
    }

    private void posix() {
        int end = text.indexOf(":]", at);
        boolean negated = text.startsWith("^", at + 2);
        String name = text.substring(at + (negated ? 3 : 2), end);
        java.append(negated ? "[^" : "[")
                .append(POSIX.getOrDefault(name, "\\x{0}-\\x{10ffff}"))
                .append(']');
        at = end + 2;
    }

    /**
     * An escape that stands for one character or a set.
     *
     * @param end told where it ends
     */
    static String escape(String text, int start, IntConsumer end) {
        if (start + 1 == text.length()) {
            throw new RefusedException("ends in a backslash");
        }
        char c = text.charAt(start + 1);
        if ((c == 'p' || c == 'P' || c == 'x') && text.startsWith("{", start + 2)) {
            int close = text.indexOf('}', start);
            if (close < 0) {
                throw new RefusedException("has a brace that nothing closes");
            }
            end.accept(close + 1);
            String name = text.substring(start + 3, close);
            return c == 'x' ? "\\x{" + name + "}" : property(name, c == 'P');
        }
        if (c == 'x' || c == 'u') {
            int digits = start + 2;
            int most = digits + (c == 'x' ? 2 : 4);
            while (digits < Math.min(most, text.length()) && Character.digit(text.charAt(digits), 16) >= 0) {
                digits++;
            }
            end.accept(digits);
            return "\\x{" + text.substring(start + 2, digits) + "}";
        }
        int length = Character.charCount(text.codePointAt(start + 1));
        end.accept(start + 1 + length);
        return switch (c) {
            case 'h' -> "[0-9a-fA-F]";
            case 'H' -> "[^0-9a-fA-F]";
            case 'v' -> "\\x{b}";
            case 'e' -> "\\x{1b}";
            default -> text.substring(start, start + 1 + length);
        };
    }

    private static String property(String name, boolean negated) {
        boolean both = name.startsWith("^");
        String own = both ? name.substring(1) : name;
        String escape = negated != both ? "\\P{" : "\\p{";
        // a script has another prefix in Java
        return Stream.of(escape + own + "}", escape + "Is" + own + "}")
                .filter(RegexClass::isKnown)
                .findFirst()
                .orElse("[\\x{0}-\\x{10ffff}]");
    }

    private static boolean isKnown(String property) {
        try {
            Pattern.compile(property);
            return true;
        } catch (PatternSyntaxException e) {
            return false;
        }
    }
}
