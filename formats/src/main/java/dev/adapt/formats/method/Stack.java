package dev.adapt.formats.method;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The layers of a model that have one place in it at all depths.
 *
 * @param name theirs, with a {@code *} where each has its number: {@code encoder.layer.*.attention.self.query}; the name of a
 *     module that has no number is a stack of this one layer
 */
public record Stack(String name) {
    private static final Pattern NUMBER = Pattern.compile("(?<=^|\\.)\\d+(?=\\.|$)");
    private static final Pattern PLACE = Pattern.compile("(?<=^|\\.)\\*(?=\\.|$)");

    /** The stack of a module. */
    public static Stack of(String module) {
        return new Stack(NUMBER.matcher(module).replaceAll("*"));
    }

    /** The first number in a module's name, which is its layer's; none in the name of a module that is no layer's. */
    public static Optional<String> number(String module) {
        return NUMBER.matcher(module).results().map(MatchResult::group).findFirst();
    }

    /** Whether its layers have numbers. */
    public boolean isNumbered() {
        return name.indexOf('*') >= 0 && PLACE.matcher(name).find();
    }

    /** Its layer that has the numbers of another module. */
    public String layer(String like) {
        Iterator<String> numbers =
                NUMBER.matcher(like).results().map(MatchResult::group).iterator();
        return PLACE.matcher(name).replaceAll(place -> numbers.hasNext() ? numbers.next() : place.group());
    }

    // the methods that a record has of itself are made where they are first called: 10 ms of each start of a merge
    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof Stack stack && name.equals(stack.name);
    }

    @Override
    public int hashCode() {
        return name.hashCode();
    }

    /** Targets by their stack, in the order they come. */
    public static SequencedMap<Stack, List<Target>> of(List<Target> targets) {
        SequencedMap<Stack, List<Target>> stacks = new LinkedHashMap<>();
        for (Target target : targets) {
            stacks.computeIfAbsent(target.stack(), absent -> new ArrayList<>()).add(target);
        }
        return stacks;
    }
}
