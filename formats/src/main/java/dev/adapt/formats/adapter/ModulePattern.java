package dev.adapt.formats.adapter;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * A regular expression of module names that a config holds, in the syntax of Python's {@code re}. It comes from whoever
 * made the adapter, so matching is bounded: an expression that backtracks without end is refused, not waited for.
 */
final class ModulePattern {
    /** Characters looked at for one name: a thousand times what a plain expression needs. */
    private static final int MOST_STEPS = 1_000_000;

    private final Path file;
    private final String field;
    private final Pattern pattern;

    private ModulePattern(Path file, String field, Pattern pattern) {
        this.file = file;
        this.field = field;
        this.pattern = pattern;
    }

    /**
     * An expression of whole names; what Java writes in another way is translated.
     *
     * @param expected what the field must hold, for the message
     * @throws FormatException if it is no regular expression
     */
    static ModulePattern of(JsonDocument document, String field, String expression, String expected) {
        try {
            return new ModulePattern(document.path(), field, Pattern.compile(translated(expression)));
        } catch (PatternSyntaxException e) {
            throw document.wrong(field, expected + " (" + e.getDescription() + ")");
        }
    }

    /** An expression of the end of a name, as PEFT's rank and alpha patterns are. */
    static ModulePattern ofEnd(String field, String expression) {
        String whole = "(.*\\.)?(" + translated(expression) + ")$";
        return new ModulePattern(Path.of(AdapterConfig.FILE), field, Pattern.compile(whole));
    }

    private static String translated(String expression) {
        return expression
                .replace("(?P<", "(?<")
                .replaceAll("\\(\\?P=(\\w+)\\)", "\\\\k<$1>")
                .replace("\\Z", "\\z");
    }

    /**
     * Whether it matches a whole name.
     *
     * @throws FormatException if that takes too long to say
     */
    boolean matches(String module) {
        return bounded(module, Matcher::matches);
    }

    /**
     * What the last group holds where it matches the beginning of a name.
     *
     * @throws FormatException if that takes too long to say
     */
    Optional<String> lastGroup(String module) {
        return bounded(
                module,
                matcher -> matcher.lookingAt()
                        ? Optional.ofNullable(matcher.group(matcher.groupCount()))
                        : Optional.empty());
    }

    private <T> T bounded(String module, Function<Matcher, T> use) {
        try {
            return use.apply(pattern.matcher(new Bounded(module)));
        } catch (TooLong | StackOverflowError e) {
            throw new FormatException(
                    file,
                    field + ": the regular expression \"" + pattern
                            + "\" takes too long to match; write it without nested repetition");
        }
    }

    @Override
    public String toString() {
        return pattern.toString();
    }

    private static final class TooLong extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    /** A name that can be looked at only so often. */
    private static final class Bounded implements CharSequence {
        private final String name;
        private int steps;

        Bounded(String name) {
            this.name = name;
        }

        @Override
        public int length() {
            return name.length();
        }

        @Override
        public char charAt(int index) {
            if (++steps > MOST_STEPS) {
                throw new TooLong();
            }
            return name.charAt(index);
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return name.subSequence(start, end);
        }

        @Override
        public String toString() {
            return name;
        }
    }
}
