package dev.adapt.train.tokenizer;

import dev.adapt.train.tokenizer.RegexNode.Assertion;
import dev.adapt.train.tokenizer.RegexNode.Choice;
import dev.adapt.train.tokenizer.RegexNode.Repeat;
import dev.adapt.train.tokenizer.RegexNode.Sequence;
import dev.adapt.train.tokenizer.RegexNode.Symbol;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Parses a pattern in Oniguruma's syntax, which Hugging Face's tokenizers use. Possessive and atomic groups are read as
 * ordinary ones, which can only try more often. What makes a pattern more than regular, such as a reference back, is
 * refused.
 */
final class RegexParser {
    /** Why a pattern is refused, to follow the pattern in a sentence. */
    static final class RefusedException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        RefusedException(String reason) {
            super(reason, null, false, false);
        }
    }

    private static final int MOST_NESTED = 50;
    private static final Sequence EMPTY = new Sequence(List.of());
    private static final String NEWLINES = "[\\n-\\r\\x{85}\\x{2028}\\x{2029}]";

    private final String text;
    private final Alphabet alphabet;
    private int at;
    private int depth;
    private boolean ignoreCase;
    private boolean dotAll;

    RegexParser(String text, Alphabet alphabet) {
        this.text = text;
        this.alphabet = alphabet;
    }

    /** Parses the whole pattern. */
    RegexNode parse() {
        RegexNode node = choice();
        if (at < text.length()) {
            throw new RefusedException("closes a group that it did not open");
        }
        return node;
    }

    private RegexNode choice() {
        if (++depth > MOST_NESTED) {
            throw new RefusedException("nests groups deeper than " + MOST_NESTED);
        }
        boolean outerCase = ignoreCase;
        boolean outerDot = dotAll;
        List<RegexNode> options = new ArrayList<>(List.of(sequence()));
        while (next("|")) {
            options.add(sequence());
        }
        ignoreCase = outerCase;
        dotAll = outerDot;
        depth--;
        return options.size() == 1 ? options.getFirst() : new Choice(options);
    }

    private RegexNode sequence() {
        List<RegexNode> parts = new ArrayList<>();
        while (at < text.length() && text.charAt(at) != '|' && text.charAt(at) != ')') {
            parts.add(repeated(atom()));
        }
        return new Sequence(parts);
    }

    private RegexNode repeated(RegexNode atom) {
        RegexNode node = atom;
        for (int quantifiers = 0; at < text.length(); quantifiers++) {
            int least = 0;
            int most = RegexNode.UNBOUNDED;
            if (next("?")) {
                most = 1;
            } else if (next("+")) {
                least = 1;
            } else if (!next("*")) {
                Optional<RegexNode> interval = interval(node);
                if (interval.isEmpty()) {
                    break;
                }
                node = interval.get();
                continue;
            }
            if (!next("?")) {
                next("+"); // possessive; lazy if "?"
            }
            node = new Repeat(node, least, most);
            if (quantifiers > MOST_NESTED) {
                throw new RefusedException("has more than " + MOST_NESTED + " quantifiers after one another");
            }
        }
        return node;
    }

    /** {@code {n}}, {@code {n,}}, {@code {,m}} or {@code {n,m}}; else a brace is a character. */
    private Optional<RegexNode> interval(RegexNode node) {
        int start = at;
        if (next("{")) {
            int least = number(0);
            boolean comma = next(",");
            int most = comma ? number(RegexNode.UNBOUNDED) : least;
            boolean numbers = at > start + (comma ? 2 : 1);
            if (numbers && next("}")) {
                boolean lazy = next("?");
                return Optional.of(new Repeat(node, lazy ? 0 : least, most));
            }
            at = start;
        }
        return Optional.empty();
    }

    private int number(int otherwise) {
        int start = at;
        while (at < text.length() && Character.digit(text.charAt(at), 10) >= 0) {
            at++;
        }
        try {
            return start == at ? otherwise : Integer.parseInt(text.substring(start, at));
        } catch (NumberFormatException e) {
            throw new RefusedException("repeats more often than can be counted");
        }
    }

    private RegexNode atom() {
        int c = text.codePointAt(at);
        return switch (c) {
            case '(' -> group();
            case '[' -> new Symbol(alphabet.set(new RegexClass(text, at, this::moveTo).java(), ignoreCase));
            case '\\' -> escape();
            case '*', '+', '?' -> throw new RefusedException("repeats nothing");
            default -> character(c);
        };
    }

    private RegexNode character(int c) {
        at += Character.charCount(c);
        return switch (c) {
            case '.' -> new Symbol(alphabet.set(dotAll ? "." : "[^\\n]", ignoreCase));
            case '^', '$' -> new Assertion(EMPTY);
            default -> new Symbol(alphabet.literal(c, ignoreCase));
        };
    }

    private void moveTo(int position) {
        at = position;
    }

    private RegexNode group() {
        at++;
        if (next("?#")) {
            int end = text.indexOf(')', at);
            at = end < 0 ? text.length() : end;
            return closed(EMPTY);
        }
        if (next("?=") || next("?!") || next("?<=") || next("?<!")) {
            return closed(new Assertion(choice()));
        }
        if (next("?:") || next("?>")) {
            return closed(choice());
        }
        if (next("?<") || next("?'")) {
            char end = text.charAt(at - 1) == '<' ? '>' : '\'';
            at = text.indexOf(end, at) + 1;
            if (at == 0) {
                throw new RefusedException("has a group whose name does not end");
            }
            return closed(choice());
        }
        if (next("?")) {
            return options();
        }
        if (text.startsWith("*", at)) {
            throw new RefusedException("has a callout (*");
        }
        return closed(choice());
    }

    /** {@code (?i)} to the end of the group around it, or {@code (?i:…)}. */
    private RegexNode options() {
        boolean on = true;
        boolean outerCase = ignoreCase;
        boolean outerDot = dotAll;
        while (at < text.length() && text.charAt(at) != ':' && text.charAt(at) != ')') {
            switch (text.charAt(at++)) {
                case '-' -> on = false;
                case 'i' -> ignoreCase = on;
                case 'm' -> dotAll = on;
                default ->
                    throw new RefusedException("has a group (?" + text.charAt(at - 1) + ", which is not supported");
            }
        }
        if (next(":")) {
            RegexNode inner = closed(choice());
            ignoreCase = outerCase;
            dotAll = outerDot;
            return inner;
        }
        at++;
        // the options hold for all that follows in this group, its other alternatives included
        return choiceInside();
    }

    private RegexNode choiceInside() {
        List<RegexNode> options = new ArrayList<>(List.of(sequence()));
        while (next("|")) {
            options.add(sequence());
        }
        return new Choice(options);
    }

    private RegexNode closed(RegexNode node) {
        if (!next(")")) {
            throw new RefusedException("has a group that nothing closes");
        }
        return node;
    }

    private RegexNode escape() {
        if (at + 1 == text.length()) {
            throw new RefusedException("ends in a backslash");
        }
        char c = text.charAt(at + 1);
        if ("bBAzZGKyY".indexOf(c) >= 0) {
            at += 2;
            return new Assertion(EMPTY);
        }
        if ((c >= '1' && c <= '9') || c == 'k' || c == 'g') {
            throw new RefusedException("refers back to a group");
        }
        if (c == 'R') {
            at += 2;
            return new Symbol(alphabet.set(NEWLINES, false));
        }
        if (c == 'X' || c == 'O' || c == 'N') {
            at += 2;
            return c == 'X'
                    ? new Repeat(new Symbol(alphabet.set(".", false)), 1, RegexNode.UNBOUNDED)
                    : new Symbol(alphabet.set(".", false));
        }
        return new Symbol(alphabet.set(RegexClass.escape(text, at, this::moveTo), ignoreCase));
    }

    private boolean next(String wanted) {
        if (text.startsWith(wanted, at)) {
            at += wanted.length();
            return true;
        }
        return false;
    }
}
