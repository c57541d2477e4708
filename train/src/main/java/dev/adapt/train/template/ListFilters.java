package dev.adapt.train.template;

import static dev.adapt.train.template.Filters.filter;
import static dev.adapt.train.template.Filters.stream;

import dev.adapt.train.template.Arguments.Bound;
import dev.adapt.train.template.Filters.Filter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;

/** The filters of lists, dicts and whatever else has items. */
final class ListFilters {
    private static final Map<String, Filter> ALL = Map.ofEntries(
            filter("length", List.of(), (run, own, by) -> length(run, own)),
            filter("count", List.of(), (run, own, by) -> length(run, own)),
            filter(
                    "list",
                    List.of(),
                    (run, own, by) -> Value.Sequence.list(run.operators().list(own))),
            filter("first", List.of(), (run, own, by) -> first(run, own)),
            filter("last", List.of(), (run, own, by) -> last(run, own)),
            filter("reverse", List.of(), (run, own, by) -> reversed(run, own)),
            filter("join", List.of("d", "attribute"), ListFilters::joined),
            filter("items", List.of(), (run, own, by) -> items(own)),
            filter("dictsort", List.of("case_sensitive", "by", "reverse"), ListFilters::sortedEntries),
            filter("sort", List.of("reverse", "case_sensitive", "attribute"), ListFilters::sorted),
            filter("unique", List.of("case_sensitive", "attribute"), ListFilters::unique),
            filter("min", List.of("case_sensitive", "attribute"), (run, own, by) -> extreme(run, own, by, -1)),
            filter("max", List.of("case_sensitive", "attribute"), (run, own, by) -> extreme(run, own, by, 1)),
            filter("sum", List.of("attribute", "start"), ListFilters::sum),
            filter("batch", List.of("linecount", "fill_with"), ListFilters::batches),
            filter("slice", List.of("slices", "fill_with"), ListFilters::slices));

    private static final Set<String> SELECTING = Set.of("map", "select", "reject", "selectattr", "rejectattr");

    private static final int LONGEST_PATH = 1000;

    private ListFilters() {}

    static boolean exists(String name) {
        return ALL.containsKey(name) || SELECTING.contains(name);
    }

    static Value apply(Interpreter run, String name, Value input, Arguments given) {
        Optional<Filter> own = Optional.ofNullable(ALL.get(name));
        if (own.isPresent()) {
            return own.get()
                    .body()
                    .apply(run, input, given.bind(own.get().parameters().toArray(String[]::new)));
        }
        return switch (name) {
            case "map" -> mapped(run, input, given);
            case "select" -> selected(run, input, given, true);
            case "reject" -> selected(run, input, given, false);
            case "selectattr" -> selectedBy(run, input, given, true);
            case "rejectattr" -> selectedBy(run, input, given, false);
            default -> throw new TemplateFault("the filter '" + name + "' is not supported");
        };
    }

    private static Value length(Interpreter run, Value own) {
        return Value.Int.of(run.operators()
                .length(own)
                .orElseThrow(() -> new TemplateFault(Operators.described(own) + " has no length")));
    }

    private static Value first(Interpreter run, Value own) {
        Iterator<Value> items = run.operators().iterator(own);
        return items.hasNext() ? items.next() : new Value.Undefined("there is no first item of an empty list");
    }

    private static Value last(Interpreter run, Value own) {
        if (own instanceof Value.Stream) {
            throw new TemplateFault("a generator has no last item; 'list' makes a list of it");
        }
        List<Value> items = run.operators().list(own);
        return items.isEmpty() ? new Value.Undefined("there is no last item of an empty list") : items.getLast();
    }

    private static Value reversed(Interpreter run, Value own) {
        List<Value> items = run.operators().list(own);
        Collections.reverse(items);
        if (!(own instanceof Value.Text)) {
            return stream(items);
        }
        Output out = new Output(run.budget());
        items.forEach(item -> out.append(run.printer().text(item)));
        return new Value.Text(out.text());
    }

    private static Value joined(Interpreter run, Value own, Bound by) {
        String separator = by.get("d").map(run.printer()::text).orElse("");
        Function<Value, Value> part = attribute(run, by.get("attribute"), Optional.empty());
        Output out = new Output(run.budget());
        Iterator<Value> items = run.operators().iterator(own);
        while (items.hasNext()) {
            out.append(run.printer().text(part.apply(items.next())));
            out.append(items.hasNext() ? separator : "");
        }
        return new Value.Text(out.text());
    }

    private static Value items(Value own) {
        return switch (own) {
            case Value.Dict dict -> stream(Methods.items(dict).items());
            case Value.Undefined ignored -> stream(List.of());
            default -> throw new TemplateFault("items needs a dict, not " + Operators.described(own));
        };
    }

    /** What comes of an item by a path such as {@code function.name}; the item itself where none is given. */
    private static Function<Value, Value> attribute(Interpreter run, Optional<Value> path, Optional<Value> preset) {
        List<Value> parts = new ArrayList<>();
        if (path.isPresent()
                && path.get() instanceof Value.Text text
                && text.text().length() > LONGEST_PATH) {
            throw new TemplateFault("the path of an attribute is longer than " + LONGEST_PATH + " characters");
        }
        switch (path.orElse(Value.None.NONE)) {
            case Value.None ignored -> {}
            case Value.Text text -> {
                for (String part : text.text().split("\\.", -1)) {
                    boolean number = part.matches("[0-9]{1,9}");
                    parts.add(number ? Value.Int.of(Long.parseLong(part)) : new Value.Text(part));
                }
            }
            case Value.Int number -> parts.add(number);
            default -> throw new TemplateFault("an attribute is named by a text or an integer");
        }
        return item -> {
            Value value = item;
            for (Value part : parts) {
                value = run.item(value, part);
                value = value instanceof Value.Undefined ? preset.orElse(value) : value;
            }
            return value;
        };
    }

    private static Value folded(Interpreter run, Value value, boolean caseSensitive) {
        return value instanceof Value.Text text && !caseSensitive
                ? new Value.Text(run.texts().lower(text.text()))
                : value;
    }

    private static Value sorted(Interpreter run, Value own, Bound by) {
        boolean caseSensitive = by.flag("case_sensitive");
        List<Function<Value, Value>> keys = new ArrayList<>();
        if (by.get("attribute").orElse(Value.None.NONE) instanceof Value.Text several
                && several.text().length() <= LONGEST_PATH) {
            for (String one : several.text().split(",", -1)) {
                keys.add(attribute(run, Optional.of(new Value.Text(one)), Optional.empty()));
            }
        } else {
            keys.add(attribute(run, by.get("attribute"), Optional.empty()));
        }
        return Value.Sequence.list(inOrder(
                run,
                run.operators().list(own),
                item -> new Value.Sequence(
                        Value.Kind.LIST,
                        keys.stream()
                                .map(key -> folded(run, key.apply(item), caseSensitive))
                                .toList()),
                by.flag("reverse")));
    }

    private static Value sortedEntries(Interpreter run, Value own, Bound by) {
        if (!(own instanceof Value.Dict dict)) {
            throw new TemplateFault("dictsort needs a dict, not " + Operators.described(own));
        }
        String part = by.text("by").orElse("key");
        if (!part.equals("key") && !part.equals("value")) {
            throw new TemplateFault("dictsort sorts by key or by value");
        }
        int place = part.equals("key") ? 0 : 1;
        return Value.Sequence.list(inOrder(
                run,
                Methods.items(dict).items(),
                pair -> folded(run, ((Value.Sequence) pair).items().get(place), by.flag("case_sensitive")),
                by.flag("reverse")));
    }

    private record Keyed(Value key, Value item) {}

    private static List<Value> inOrder(
            Interpreter run, List<Value> items, Function<Value, Value> key, boolean descending) {
        Comparator<Keyed> order = Comparator.comparing(Keyed::key, run.operators()::order);
        return items.stream()
                .map(item -> new Keyed(key.apply(item), item))
                .sorted(descending ? order.reversed() : order)
                .map(Keyed::item)
                .toList();
    }

    private static Value unique(Interpreter run, Value own, Bound by) {
        Function<Value, Value> key = attribute(run, by.get("attribute"), Optional.empty());
        Set<Value> seen = new HashSet<>();
        List<Value> items = new ArrayList<>();
        for (Value item : run.operators().list(own)) {
            Value folded = folded(run, key.apply(item), by.flag("case_sensitive"));
            if (seen.add(Value.Dict.key(folded))) {
                items.add(item);
            }
        }
        return stream(items);
    }

    private static Value extreme(Interpreter run, Value own, Bound by, int sign) {
        Function<Value, Value> key = attribute(run, by.get("attribute"), Optional.empty());
        Optional<Keyed> best = Optional.empty();
        for (Value item : run.operators().list(own)) {
            Keyed next = new Keyed(folded(run, key.apply(item), by.flag("case_sensitive")), item);
            if (best.isEmpty() || run.operators().order(next.key(), best.get().key()) * sign > 0) {
                best = Optional.of(next);
            }
        }
        return best.map(Keyed::item).orElse(new Value.Undefined("an empty list has no smallest or largest item"));
    }

    private static Value sum(Interpreter run, Value own, Bound by) {
        Function<Value, Value> part = attribute(run, by.get("attribute"), Optional.empty());
        Value sum = by.get("start").orElse(Value.Int.of(0));
        for (Value item : run.operators().list(own)) {
            sum = new Arithmetic(run.budget()).apply("+", sum, part.apply(item));
        }
        return sum;
    }

    private static Value batches(Interpreter run, Value own, Bound by) {
        int size = Operators.index(by.need("linecount"));
        if (size < 1) {
            throw new TemplateFault("batch needs at least one item a batch");
        }
        List<Value> items = run.operators().list(own);
        List<Value> batches = new ArrayList<>();
        for (int from = 0; from < items.size(); from += Math.min(size, items.size() - from)) {
            List<Value> batch = new ArrayList<>(items.subList(from, from + Math.min(size, items.size() - from)));
            fill(run, batch, size, by);
            batches.add(Value.Sequence.list(batch));
        }
        return stream(batches);
    }

    private static void fill(Interpreter run, List<Value> batch, int size, Bound by) {
        by.get("fill_with").filter(fill -> fill != Value.None.NONE).ifPresent(fill -> {
            run.budget().items(size - batch.size(), size);
            batch.addAll(Collections.nCopies(size - batch.size(), fill));
        });
    }

    private static Value slices(Interpreter run, Value own, Bound by) {
        int count = Operators.index(by.need("slices"));
        if (count < 1) {
            throw new TemplateFault("slice needs at least one slice");
        }
        run.budget().items(count, count);
        List<Value> items = run.operators().list(own);
        int each = items.size() / count;
        int longer = items.size() % count;
        List<Value> slices = new ArrayList<>();
        int from = 0;
        for (int i = 0; i < count; i++) {
            int to = from + each + (i < longer ? 1 : 0);
            List<Value> slice = new ArrayList<>(items.subList(from, to));
            if (i >= longer) {
                fill(run, slice, slice.size() + 1, by);
            }
            slices.add(Value.Sequence.list(slice));
            from = to;
        }
        return stream(slices);
    }

    private static Value mapped(Interpreter run, Value input, Arguments given) {
        Function<Value, Value> change;
        if (given.positional().isEmpty()) {
            Bound by = given.bind("attribute", "default");
            by.need("attribute");
            change = attribute(run, by.get("attribute"), by.get("default").filter(preset -> preset != Value.None.NONE));
        } else {
            Arguments rest = given.rest(name(given, 0), 1);
            change = item -> run.filter(rest.called(), item, rest);
        }
        List<Value> items = run.operators().list(input);
        items.replaceAll(item -> {
            run.budget().read(0);
            return change.apply(item);
        });
        return stream(items);
    }

    private static String name(Arguments given, int at) {
        if (given.positional().size() > at && given.positional().get(at) instanceof Value.Text text) {
            return text.text();
        }
        throw new TemplateFault(given.called() + " needs the name of a filter or test as a text");
    }

    private static Value selected(Interpreter run, Value input, Arguments given, boolean wanted) {
        return passing(run, input, item -> item, test(run, given, 0), wanted);
    }

    private static Value selectedBy(Interpreter run, Value input, Arguments given, boolean wanted) {
        if (given.positional().isEmpty()) {
            throw new TemplateFault(given.called() + " needs the name of an attribute");
        }
        Optional<Value> path = Optional.of(given.positional().getFirst());
        return passing(run, input, attribute(run, path, Optional.empty()), test(run, given, 1), wanted);
    }

    /** The test that the arguments from {@code at} on name, or truth. */
    private static Predicate<Value> test(Interpreter run, Arguments given, int at) {
        if (given.positional().size() <= at) {
            return Operators::truth;
        }
        Arguments rest = given.rest(name(given, at), at + 1);
        return value -> Tests.holds(run, value, rest);
    }

    private static Value passing(
            Interpreter run, Value input, Function<Value, Value> part, Predicate<Value> test, boolean wanted) {
        List<Value> items = run.operators().list(input);
        items.removeIf(item -> {
            run.budget().read(0);
            return test.test(part.apply(item)) != wanted;
        });
        return stream(items);
    }
}
