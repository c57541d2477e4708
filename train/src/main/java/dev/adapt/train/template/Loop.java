package dev.adapt.train.template;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;

/** Where a loop is. Items are taken as needed, for the test of an item may read what an earlier one changed. */
final class Loop {
    private final Iterator<Value> rest;
    private final Deque<Value> ahead = new ArrayDeque<>();
    private final Budget budget;
    private long index = -1;
    private Value previous = missing("previtem");
    private Value now = missing("item");
    private Optional<Value> changing = Optional.empty();

    Loop(Iterator<Value> items, Budget budget) {
        this.rest = items;
        this.budget = budget;
    }

    boolean advance() {
        if (!peek()) {
            return false;
        }
        previous = index < 0 ? previous : now;
        now = ahead.removeFirst();
        index++;
        return true;
    }

    Value now() {
        return now;
    }

    private boolean peek() {
        if (ahead.isEmpty() && rest.hasNext()) {
            ahead.add(rest.next());
        }
        return !ahead.isEmpty();
    }

    private long length() {
        while (rest.hasNext()) {
            budget.items(1, ahead.size() + 1L);
            ahead.add(rest.next());
        }
        return index + 1 + ahead.size();
    }

    Value attribute(String name) {
        return switch (name) {
            case "index" -> Value.Int.of(index + 1);
            case "index0" -> Value.Int.of(index);
            case "revindex" -> Value.Int.of(length() - index);
            case "revindex0" -> Value.Int.of(length() - index - 1);
            case "first" -> new Value.Bool(index == 0);
            case "last" -> new Value.Bool(!peek());
            case "length" -> Value.Int.of(length());
            case "previtem" -> previous;
            case "nextitem" -> peek() ? ahead.getFirst() : missing(name);
            // only recursive loops go deeper
            case "depth" -> Value.Int.of(1);
            case "depth0" -> Value.Int.of(0);
            case "cycle" -> new Value.Callable(name, this::cycle);
            case "changed" -> new Value.Callable(name, this::changed);
            default -> missing(name);
        };
    }

    private static Value missing(String name) {
        return new Value.Undefined("the loop has no '" + name + "' here");
    }

    private Value cycle(Arguments arguments) {
        List<Value> values = arguments.positional();
        if (values.isEmpty()) {
            throw new TemplateFault("loop.cycle() needs an argument");
        }
        return values.get((int) (index % values.size()));
    }

    private Value changed(Arguments arguments) {
        Value value = new Value.Sequence(Value.Kind.TUPLE, arguments.positional());
        boolean same = changing.isPresent() && new Operators(budget).same(changing.get(), value);
        changing = Optional.of(value);
        return new Value.Bool(!same);
    }
}
