package dev.adapt.train.template;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** What Python does with texts, by code points and within the budget. */
final class TextMethods {
    private final Budget budget;

    TextMethods(Budget budget) {
        this.budget = budget;
    }

    /** White space as Python has it. */
    static boolean isSpace(int point) {
        return (point >= '\t' && point <= '\r')
                || (point >= 0x1c && point <= ' ')
                || point == 0x85
                || point == 0xa0
                || point == 0x1680
                || (point >= 0x2000 && point <= 0x200a)
                || point == 0x2028
                || point == 0x2029
                || point == 0x202f
                || point == 0x205f
                || point == 0x3000;
    }

    private static boolean isLineBreak(char character) {
        return (character >= '\n' && character <= '\r')
                || (character >= 0x1c && character <= 0x1e)
                || character == 0x85
                || character == 0x2028
                || character == 0x2029;
    }

    /**
     * @param characters those to take away; white space where none are given
     */
    String strip(String text, Optional<String> characters, boolean left, boolean right) {
        String own = characters.orElse("");
        budget.read(text.length() + (long) own.length());
        Set<Integer> set = own.codePoints().boxed().collect(Collectors.toSet());
        IntPredicate taken = characters.isPresent() ? set::contains : TextMethods::isSpace;
        int from = 0;
        int to = text.length();
        while (left && from < to && taken.test(text.codePointAt(from))) {
            from += Character.charCount(text.codePointAt(from));
        }
        while (right && to > from && taken.test(text.codePointBefore(to))) {
            to -= Character.charCount(text.codePointBefore(to));
        }
        return text.substring(from, to);
    }

    /**
     * @param separator white space of any length where none is given
     * @param most how many cuts, or a negative number for all
     */
    List<Value> split(String text, Optional<String> separator, int most, boolean fromRight) {
        budget.read(text.length());
        List<Value> parts = new ArrayList<>();
        if (separator.isEmpty()) {
            return fromRight && most >= 0 ? wordsFromRight(text, most) : words(text, most);
        }
        String cut = separator.get();
        if (cut.isEmpty()) {
            throw new TemplateFault("a text cannot be split at an empty separator");
        }
        if (fromRight && most >= 0) {
            int to = text.length();
            int at = TextSearch.last(text, cut, to);
            while (at >= 0 && parts.size() < most) {
                add(parts, text.substring(at + cut.length(), to));
                to = at;
                // a long separator is looked for in a copy
                budget.read(to);
                at = TextSearch.last(text, cut, to);
            }
            add(parts, text.substring(0, to));
            Collections.reverse(parts);
            return parts;
        }
        int from = 0;
        TextSearch search = new TextSearch(cut);
        int at = search.in(text, from);
        while (at >= 0 && (most < 0 || parts.size() < most)) {
            add(parts, text.substring(from, at));
            from = at + cut.length();
            at = search.in(text, from);
        }
        add(parts, text.substring(from));
        return parts;
    }

    private void add(List<Value> parts, String part) {
        budget.items(1, parts.size() + 1L);
        parts.add(new Value.Text(part));
    }

    private List<Value> words(String text, int most) {
        List<Value> parts = new ArrayList<>();
        int at = 0;
        while (true) {
            while (at < text.length() && isSpace(text.charAt(at))) {
                at++;
            }
            if (at == text.length()) {
                return parts;
            }
            if (most >= 0 && parts.size() == most) {
                // what is left keeps the white space at its end, as in Python
                add(parts, text.substring(at));
                return parts;
            }
            int from = at;
            while (at < text.length() && !isSpace(text.charAt(at))) {
                at++;
            }
            add(parts, text.substring(from, at));
        }
    }

    private List<Value> wordsFromRight(String text, int most) {
        List<Value> parts = new ArrayList<>();
        int at = text.length();
        while (true) {
            while (at > 0 && isSpace(text.charAt(at - 1))) {
                at--;
            }
            if (at == 0) {
                break;
            }
            if (parts.size() == most) {
                add(parts, text.substring(0, at));
                break;
            }
            int to = at;
            while (at > 0 && !isSpace(text.charAt(at - 1))) {
                at--;
            }
            add(parts, text.substring(at, to));
        }
        Collections.reverse(parts);
        return parts;
    }

    List<Value> lines(String text, boolean keepEnds) {
        budget.read(text.length());
        List<Value> lines = new ArrayList<>();
        int from = 0;
        int at = 0;
        while (at < text.length()) {
            char next = text.charAt(at++);
            if (isLineBreak(next)) {
                int end = at - 1;
                if (next == '\r' && at < text.length() && text.charAt(at) == '\n') {
                    at++;
                }
                add(lines, text.substring(from, keepEnds ? at : end));
                from = at;
            }
        }
        if (from < text.length()) {
            add(lines, text.substring(from));
        }
        return lines;
    }

    /**
     * @param most how many places, or a negative number for all
     */
    String replace(String text, String old, String with, int most) {
        budget.read(text.length());
        Output out = new Output(budget);
        int from = 0;
        int done = 0;
        TextSearch search = new TextSearch(old);
        int at = search.in(text, 0);
        while (at >= 0 && (most < 0 || done < most)) {
            out.append(text.substring(from, at)).append(with);
            from = at + old.length();
            done++;
            if (!old.isEmpty()) {
                at = search.in(text, from);
            } else {
                at = at == text.length() ? -1 : text.offsetByCodePoints(at, 1);
            }
        }
        return out.append(text.substring(from)).text();
    }

    String upper(String text) {
        return changed(text, text.toUpperCase(Locale.ROOT));
    }

    String lower(String text) {
        return changed(text, text.toLowerCase(Locale.ROOT));
    }

    private String changed(String text, String result) {
        budget.write(text.length(), result.length());
        return result;
    }

    String capitalized(String text) {
        if (text.isEmpty()) {
            return text;
        }
        int first = text.offsetByCodePoints(0, 1);
        return changed(
                text,
                Character.toString(Character.toTitleCase(text.codePointAt(0)))
                        + text.substring(first).toLowerCase(Locale.ROOT));
    }

    /** Each run of letters with its first in upper case, as {@code str.title()}. */
    String title(String text) {
        Output out = new Output(budget);
        boolean inside = false;
        for (int point : text.codePoints().toArray()) {
            boolean cased =
                    Character.isUpperCase(point) || Character.isLowerCase(point) || Character.isTitleCase(point);
            out.append(cased ? inside ? Character.toLowerCase(point) : Character.toTitleCase(point) : point);
            inside = cased;
        }
        return out.text();
    }

    /** Each word with its first letter in upper case, as the filter {@code title}; an apostrophe begins none. */
    String titleOfWords(String text) {
        Output out = new Output(budget);
        boolean begins = true;
        for (int point : text.codePoints().toArray()) {
            String letter = Character.toString(point);
            out.append(begins ? letter.toUpperCase(Locale.ROOT) : letter.toLowerCase(Locale.ROOT));
            begins = isSpace(point) || "-({[<".indexOf(point) >= 0;
        }
        return out.text();
    }

    /** Whether {@code text} is not empty and every character passes. */
    boolean all(String text, IntPredicate passes) {
        budget.read(text.length());
        return !text.isEmpty() && text.codePoints().allMatch(passes);
    }

    /** Whether no letter is of the other case, and one is of this. */
    boolean isCase(String text, boolean upper) {
        budget.read(text.length());
        IntPredicate right = upper ? Character::isUpperCase : Character::isLowerCase;
        IntPredicate wrong = upper ? Character::isLowerCase : Character::isUpperCase;
        return text.codePoints().anyMatch(right) && text.codePoints().noneMatch(wrong);
    }

    int count(String text, String part) {
        budget.read(text.length());
        if (part.isEmpty()) {
            return text.codePointCount(0, text.length()) + 1;
        }
        int count = 0;
        TextSearch search = new TextSearch(part);
        for (int at = search.in(text, 0); at >= 0; at = search.in(text, at + part.length())) {
            count++;
        }
        return count;
    }

    /** Index in UTF-16 code units, or -1. */
    int place(String text, String part, boolean last) {
        budget.read(text.length() + (long) part.length());
        return last ? TextSearch.last(text, part, text.length()) : new TextSearch(part).in(text, 0);
    }

    /** In code points, or -1. */
    int find(String text, String part, boolean last) {
        int at = place(text, part, last);
        return at < 0 ? -1 : text.codePointCount(0, at);
    }

    /** With spaces, or another character, up to {@code width} characters. */
    String padded(String text, int width, String fill, boolean left, boolean right) {
        budget.read(text.length());
        int missing = Math.max(0, width - text.codePointCount(0, text.length()));
        // Python's own rule for the odd space of a centred text
        int before = left && right ? (missing / 2) + (missing & width & 1) : left ? missing : 0;
        return new Output(budget)
                .repeat(fill, before)
                .append(text)
                .repeat(fill, missing - before)
                .text();
    }

    /** Each line but the first begins with {@code indent}; empty ones do not. */
    String indented(String text, String indent, boolean first, boolean blank) {
        List<Value> lines = lines(text + "\n", false);
        Output out = new Output(budget);
        for (int i : IntStream.range(0, lines.size()).toArray()) {
            String line = ((Value.Text) lines.get(i)).text();
            boolean begins = i == 0 ? first : blank || !line.isEmpty();
            out.append(i == 0 ? "" : "\n").append(begins ? indent : "").append(line);
        }
        return out.text();
    }
}
