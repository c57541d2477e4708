package dev.adapt.formats.method;

import dev.adapt.formats.FormatException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A number for each of some modules, as {@code rank_pattern} and {@code alpha_pattern} give it: PEFT takes the first pattern
 * that matches the end of a module's name, after a dot.
 *
 * <p>Most patterns are plain names. They are looked up, whatever their number; of regular expressions all matching together
 * has one budget, because an adapter may hold thousands.
 */
public final class ModulePatterns {
    private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9_.-]+");

    /** Characters that the expressions of one field may look at in all: a second or two. */
    private static final long MOST_STEPS = 200_000_000;

    /** How PEFT matches a pattern. Plain names match alike by all. */
    enum Rule {
        /** The whole name, or its end after a dot: {@code (.*\\.)?(PATTERN)$}. */
        END,
        /** As {@link ModulePattern#afterDot} says. */
        AFTER_DOT
    }

    /** The number of a pattern, and its place among all. */
    private record Entry(int order, double number) {}

    private record Expression(ModulePattern pattern, Entry entry) {}

    private final String field;
    private final Map<String, Double> numbers;
    // a dot of a pattern stands for any character: names are keyed by where their dots are, and then by what they are
    private final Map<Integer, Map<String, Map<String, Entry>>> plain = new HashMap<>();
    private final List<Expression> expressions = new ArrayList<>();
    private final Map<String, Optional<Double>> found = new ConcurrentHashMap<>();
    private final AtomicLong budget = new AtomicLong(MOST_STEPS);

    /** Patterns that were made here, of names. */
    public ModulePatterns(String field, Map<String, Double> numbers) {
        this(Path.of(AdapterConfig.FILE), field, numbers, Rule.END);
    }

    /**
     * The patterns of a field.
     *
     * @param file that holds them, for messages
     * @param numbers by pattern, in the file's order
     * @throws java.util.regex.PatternSyntaxException if a pattern is no regular expression
     */
    ModulePatterns(Path file, String field, Map<String, Double> numbers, Rule rule) {
        this.field = field;
        this.numbers = Collections.unmodifiableMap(new LinkedHashMap<>(numbers));
        int order = 0;
        for (Map.Entry<String, Double> each : numbers.entrySet()) {
            String pattern = each.getKey();
            Entry entry = new Entry(order++, each.getValue());
            if (PLAIN.matcher(pattern).matches()) {
                plain.computeIfAbsent(pattern.length(), length -> new LinkedHashMap<>())
                        .computeIfAbsent(dots(pattern), mask -> new HashMap<>())
                        .putIfAbsent(pattern, entry);
            } else {
                expressions.add(new Expression(
                        switch (rule) {
                            case END -> ModulePattern.ofEnd(file, field, pattern);
                            case AFTER_DOT -> ModulePattern.afterDot(file, field, pattern);
                        },
                        entry));
            }
        }
    }

    /** The same field with other patterns, of names. */
    ModulePatterns with(Map<String, Double> others) {
        return new ModulePatterns(field, others);
    }

    /** The numbers by pattern, in order. */
    public Map<String, Double> numbers() {
        return numbers;
    }

    /**
     * The number of a module, or {@code otherwise} where no pattern matches.
     *
     * @throws FormatException if the expressions take too long to match
     */
    public double of(String module, double otherwise) {
        return numbers.isEmpty()
                ? otherwise
                : found.computeIfAbsent(module, this::search).orElse(otherwise);
    }

    private Optional<Double> search(String module) {
        Optional<Entry> named = named(module);
        for (Expression expression : expressions) {
            if (named.isPresent() && named.get().order() < expression.entry().order()) {
                break;
            }
            if (expression.pattern().matches(module, budget)) {
                return Optional.of(expression.entry().number());
            }
        }
        return named.map(Entry::number);
    }

    /** The first plain name that a module's name ends with. */
    private Optional<Entry> named(String module) {
        Optional<Entry> first = Optional.empty();
        for (int from = 0; from >= 0; from = module.indexOf('.', from) + 1) {
            String end = module.substring(from);
            Map<String, Map<String, Entry>> ofLength = plain.getOrDefault(end.length(), Map.of());
            for (Map.Entry<String, Map<String, Entry>> names : ofLength.entrySet()) {
                Entry entry = names.getValue().get(masked(end, names.getKey()));
                if (entry != null
                        && (first.isEmpty() || entry.order() < first.get().order())) {
                    first = Optional.of(entry);
                }
            }
            if (module.indexOf('.', from) < 0) {
                break;
            }
        }
        return first;
    }

    /** A name with nothing but its dots: {@code ____.__}. */
    private static String dots(String name) {
        return name.replaceAll("[^.]", "_");
    }

    /** A name with dots where a mask has them. */
    private static String masked(String name, String mask) {
        StringBuilder masked = new StringBuilder(name);
        for (int dot = mask.indexOf('.'); dot >= 0; dot = mask.indexOf('.', dot + 1)) {
            masked.setCharAt(dot, '.');
        }
        return masked.toString();
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof ModulePatterns patterns
                && field.equals(patterns.field)
                && numbers.equals(patterns.numbers);
    }

    @Override
    public int hashCode() {
        return numbers.hashCode();
    }

    @Override
    public String toString() {
        return numbers.toString();
    }
}
