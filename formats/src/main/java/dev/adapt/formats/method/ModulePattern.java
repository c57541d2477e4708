package dev.adapt.formats.method;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/**
 * A regular expression of module names that a config holds, in the syntax of Python's {@code re}. It comes from whoever
 * made the adapter, so matching is bounded: an expression that backtracks without end is refused, not waited for.
 */
public final class ModulePattern {
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
    public static ModulePattern of(JsonDocument document, String field, String expression, String expected) {
        try {
            return new ModulePattern(document.path(), field, Pattern.compile(translated(expression)));
        } catch (PatternSyntaxException e) {
            throw document.wrong(field, expected + " (" + e.getDescription() + ")");
        }
    }

    /** An expression of the end of a name, as PEFT's rank and alpha patterns are. */
    static ModulePattern ofEnd(Path file, String field, String expression) {
        String whole = "(.*\\.)?(" + translated(expression) + ")$";
        return new ModulePattern(file, field, Pattern.compile(whole));
    }

    /** An expression as PEFT 0.21 matches those of FourierFT and C3A: {@code re.match(".*\\.EXPRESSION$")}. */
    static ModulePattern afterDot(Path file, String field, String expression) {
        // re.match asks for a beginning of the name, and the expression's own alternatives are not grouped
        String beginning = "(?:.*\\." + translated(expression) + "$).*";
        return new ModulePattern(file, field, Pattern.compile(beginning));
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
    public boolean matches(String module) {
        return bounded(new Bounded(module), Matcher::matches);
    }

    /**
     * The same, where many expressions share a budget.
     *
     * @param budget the characters that they may look at in all; what this match looks at is taken from it
     * @throws FormatException if that takes too long to say, or the budget is spent
     */
    boolean matches(String module, AtomicLong budget) {
        Bounded name = new Bounded(module);
        boolean matches = bounded(name, Matcher::matches);
        spend(budget, name);
        return matches;
    }

    /**
     * What the last group holds where it matches the beginning of a name.
     *
     * @param budget as for {@link #matches(String, AtomicLong)}
     * @throws FormatException if that takes too long to say, or the budget is spent
     */
    Optional<String> lastGroup(String module, AtomicLong budget) {
        Bounded name = new Bounded(module);
        Optional<String> group = bounded(
                name,
                matcher -> matcher.lookingAt()
                        ? Optional.ofNullable(matcher.group(matcher.groupCount()))
                        : Optional.empty());
        spend(budget, name);
        return group;
    }

    private void spend(AtomicLong budget, Bounded name) {
        if (budget.addAndGet(-name.steps) < 0) {
            throw new FormatException(
                    file,
                    field,
                    "its regular expressions, such as \"" + pattern
                            + "\", take too long to match in all; write the names of modules instead");
        }
    }

    private <T> T bounded(Bounded name, Function<Matcher, T> use) {
        try {
            return use.apply(pattern.matcher(name));
        } catch (TooLong | StackOverflowError e) {
            throw new FormatException(
                    file,
                    field + ": the regular expression \"" + pattern
                            + "\" takes too long to match; write it without nested repetition");
        }
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof ModulePattern same
                && field.equals(same.field)
                && pattern.pattern().equals(same.pattern.pattern());
    }

    @Override
    public int hashCode() {
        return pattern.pattern().hashCode();
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
