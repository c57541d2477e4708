package dev.adapt.train.template;

import dev.adapt.train.template.Token.Kind;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Splits a template into tokens as Jinja2 does with {@code trim_blocks} and {@code lstrip_blocks}: a block or comment
 * takes the spaces before it on its line and the line break behind it; {@code -} takes all white space on its side,
 * {@code +} none.
 */
final class Lexer {
    private static final String LINE_BREAK = "\n";
    private static final List<String> OPERATORS = List.of(
            "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
            "=", ".", ":", "|", ",", ";");
    private static final Pattern FLOAT =
            Pattern.compile("[0-9]++(?:_[0-9]++)*+(?:(?:\\.[0-9]++(?:_[0-9]++)*+)?[eE][+-]?[0-9]++(?:_[0-9]++)*+"
                    + "|\\.[0-9]++(?:_[0-9]++)*+)");
    private static final Pattern INTEGER = Pattern.compile(
            "0[bB](?:_?[01])++|0[oO](?:_?[0-7])++|0[xX](?:_?[0-9a-fA-F])++|[1-9](?:_?[0-9])*+|0(?:_?0)*+");
    private static final Pattern RAW = Pattern.compile("\\{%[-+]?+\\s*+raw\\s*+(-?+)%\\}");
    private static final Pattern END_RAW = Pattern.compile("\\{%([-+]?+)\\s*+endraw\\s*+([-+]?+)%\\}");

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private int at;
    private int line = 1;
    private int counted;

    private Lexer(String source) {
        this.source = source;
    }

    static List<Token> tokens(String source) {
        if (source.length() > Budget.SOURCE) {
            throw new TemplateFault("it is longer than " + Budget.count(Budget.SOURCE) + " characters");
        }
        String lines = source.replace("\r\n", LINE_BREAK).replace('\r', '\n');
        // Jinja2 drops one line break at the end
        return new Lexer(lines.endsWith(LINE_BREAK) ? lines.substring(0, lines.length() - 1) : lines).all();
    }

    private List<Token> all() {
        while (at < source.length()) {
            int tag = nextTag();
            if (tag < 0) {
                data(at, source.length());
                at = source.length();
            } else {
                tag(tag);
            }
        }
        add(Kind.END, "", source.length());
        return tokens;
    }

    private int nextTag() {
        for (int open = source.indexOf('{', at); open >= 0; open = source.indexOf('{', open + 1)) {
            if (open + 1 < source.length() && "{%#".indexOf(source.charAt(open + 1)) >= 0) {
                return open;
            }
        }
        return -1;
    }

    private void tag(int tag) {
        char kind = source.charAt(tag + 1);
        char sign = tag + 2 < source.length() ? source.charAt(tag + 2) : ' ';
        boolean signed = sign == '-' || sign == '+';
        data(at, endOfData(at, tag, sign, kind != '{'));
        at = tag + (signed ? 3 : 2);
        Matcher raw = RAW.matcher(source).region(tag, source.length());
        if (kind == '#') {
            comment(tag);
        } else if (kind == '{') {
            add(Kind.PRINT_BEGIN, "{{", tag);
            expression(Kind.PRINT_END, "}}");
        } else if (raw.lookingAt()) {
            at = raw.end();
            if (!raw.group(1).isEmpty()) {
                skipSpace();
            }
            raw(tag);
        } else {
            add(Kind.BLOCK_BEGIN, "{%", tag);
            expression(Kind.BLOCK_END, "%}");
        }
    }

    /** Where the text before a tag ends, less the white space that the tag takes. */
    private int endOfData(int from, int to, char sign, boolean strips) {
        int end = to;
        while (end > from && TextMethods.isSpace(source.charAt(end - 1))) {
            end--;
        }
        if (sign == '-') {
            return end;
        }
        int lineStart = to;
        while (lineStart > end && source.charAt(lineStart - 1) != '\n') {
            lineStart--;
        }
        boolean ownLine = lineStart == 0 || source.charAt(lineStart - 1) == '\n';
        return strips && sign != '+' && ownLine ? lineStart : to;
    }

    private void data(int from, int to) {
        if (to > from) {
            add(Kind.DATA, source.substring(from, to), from);
        }
    }

    private void comment(int tag) {
        int end = source.indexOf("#}", at);
        if (end < 0) {
            throw fault(tag, "the comment that starts here has no '#}'");
        }
        char sign = end > at ? source.charAt(end - 1) : ' ';
        at = end + 2;
        afterBlock(sign);
    }

    private void raw(int tag) {
        Matcher end = END_RAW.matcher(source);
        if (!end.find(at)) {
            throw fault(tag, "the raw block that starts here has no 'endraw'");
        }
        char before = end.group(1).isEmpty() ? ' ' : end.group(1).charAt(0);
        data(at, endOfData(at, end.start(), before, true));
        at = end.end();
        afterBlock(end.group(2).isEmpty() ? ' ' : end.group(2).charAt(0));
    }

    private void afterBlock(char sign) {
        if (sign == '-') {
            skipSpace();
        } else if (sign != '+' && at < source.length() && source.charAt(at) == '\n') {
            at++;
        }
    }

    private void skipSpace() {
        while (at < source.length() && TextMethods.isSpace(source.charAt(at))) {
            at++;
        }
    }

    /** The tokens up to the end of a tag, which counts only outside parentheses. */
    private void expression(Kind end, String mark) {
        int start = at;
        Deque<Character> open = new ArrayDeque<>();
        while (true) {
            skipSpace();
            if (at == source.length()) {
                throw fault(start, "the tag that starts here has no '" + mark + "'");
            }
            char sign = source.charAt(at);
            boolean signed = sign == '-' || (sign == '+' && end == Kind.BLOCK_END);
            int from = signed ? at + 1 : at;
            if (open.isEmpty() && source.startsWith(mark, from)) {
                add(end, mark, at);
                at = from + mark.length();
                if (end == Kind.BLOCK_END) {
                    afterBlock(sign);
                } else if (signed) {
                    skipSpace();
                }
                return;
            }
            token(open);
        }
    }

    private void token(Deque<Character> open) {
        char first = source.charAt(at);
        if (first >= '0' && first <= '9') {
            number();
        } else if (isNameStart(source.codePointAt(at))) {
            int from = at;
            while (at < source.length() && isNamePart(source.codePointAt(at))) {
                at += Character.charCount(source.codePointAt(at));
            }
            add(Kind.NAME, source.substring(from, at), from);
        } else if (first == '\'' || first == '"') {
            string(first);
        } else {
            operator(open);
        }
    }

    private static boolean isNameStart(int codePoint) {
        return Character.isLetter(codePoint) || codePoint == '_';
    }

    private static boolean isNamePart(int codePoint) {
        return isNameStart(codePoint) || Character.isDigit(codePoint);
    }

    private void number() {
        Matcher real = FLOAT.matcher(source).region(at, source.length());
        Matcher integer = INTEGER.matcher(source).region(at, source.length());
        boolean isReal = source.charAt(at - 1) != '.' && real.lookingAt();
        if (!isReal && !integer.lookingAt()) {
            throw fault(at, "a number is malformed");
        }
        String text = (isReal ? real : integer).group();
        add(isReal ? Kind.FLOAT : Kind.INTEGER, text.replace("_", ""), at);
        at += text.length();
    }

    private void operator(Deque<Character> open) {
        for (String operator : OPERATORS) {
            if (source.startsWith(operator, at)) {
                char first = operator.charAt(0);
                if ("([{".indexOf(first) >= 0) {
                    open.push(first == '(' ? ')' : (char) (first + 2));
                } else if (")]}".indexOf(first) >= 0 && (open.isEmpty() || open.pop() != first)) {
                    throw fault(at, "'" + first + "' closes nothing that is open");
                }
                add(Kind.OPERATOR, operator, at);
                at += operator.length();
                return;
            }
        }
        String character = Character.toString(source.codePointAt(at));
        throw fault(at, "the character '" + character + "' has no meaning here");
    }

    private void string(char quote) {
        int from = at;
        StringBuilder content = new StringBuilder();
        at++;
        while (at < source.length() && source.charAt(at) != quote) {
            char next = source.charAt(at++);
            if (next == '\\' && at < source.length()) {
                escape(content);
            } else {
                content.append(next);
            }
        }
        if (at == source.length()) {
            throw fault(from, "the string that starts here has no end");
        }
        at++;
        add(Kind.STRING, content.toString(), from);
    }

    /** One escape of Python; what is none stands for itself. */
    private void escape(StringBuilder content) {
        char kind = source.charAt(at++);
        int plain = "\\'\"abfnrtv".indexOf(kind);
        if (plain >= 0) {
            content.append("\\'\"\u0007\b\f\n\r\t\u000b".charAt(plain));
        } else if (kind == 'x' || kind == 'u' || kind == 'U') {
            content.appendCodePoint(code(kind == 'x' ? 2 : kind == 'u' ? 4 : 8, 16));
        } else if (kind >= '0' && kind <= '7') {
            at--;
            int digits = 1;
            while (digits < 3 && at + digits < source.length() && Character.digit(source.charAt(at + digits), 8) >= 0) {
                digits++;
            }
            content.appendCodePoint(code(digits, 8));
        } else if (kind == 'N') {
            throw fault(at, "characters by name ('\\N{...}') are not supported");
        } else if (kind != '\n') {
            content.append('\\').append(kind);
        }
    }

    private int code(int digits, int radix) {
        int code = 0;
        for (int i = 0; i < digits; i++, at++) {
            int digit = at < source.length() ? Character.digit(source.charAt(at), radix) : -1;
            if (digit < 0 || code > Character.MAX_CODE_POINT) {
                throw fault(at - 1, "an escape in a string is malformed");
            }
            code = code * radix + digit;
        }
        if (!Character.isValidCodePoint(code)) {
            throw fault(at - 1, "an escape in a string is malformed");
        }
        return code;
    }

    private void add(Kind kind, String text, int from) {
        tokens.add(new Token(kind, text, lineOf(from)));
    }

    private TemplateFault fault(int place, String reason) {
        return new TemplateFault(
                1 + (int) source.chars().limit(place).filter(c -> c == '\n').count(), reason);
    }

    /** Places are asked for in ascending order. */
    private int lineOf(int place) {
        for (; counted < place && counted < source.length(); counted++) {
            if (source.charAt(counted) == '\n') {
                line++;
            }
        }
        return line;
    }
}
