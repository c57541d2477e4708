package dev.adapt.train.template;

import dev.adapt.train.template.Value.Kind;
import java.time.DateTimeException;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The functions a template can call by name: those of Jinja2's sandbox and of transformers. */
final class Functions {
    private final Budget budget;
    private final ZonedDateTime now;

    Functions(Budget budget, ZonedDateTime now) {
        this.budget = budget;
        this.now = now;
    }

    void addTo(Scope scope) {
        Map<String, Value.Callable.Body> functions = Map.of(
                "range", this::range,
                "dict", given -> new Value.Dict(entries(given)),
                "namespace", this::namespace,
                "raise_exception", Functions::refuse,
                "strftime_now", this::time);
        functions.forEach((name, body) -> scope.set(name, new Value.Callable(name, body)));
        for (String name : List.of("cycler", "joiner", "lipsum")) {
            scope.set(name, new Value.Callable(name, Functions::unsupported));
        }
    }

    private static Value unsupported(Arguments given) {
        throw new TemplateFault("the function '" + given.called() + "' is not supported");
    }

    private static Value refuse(Arguments given) {
        Value message = given.bind("message").need("message");
        throw new TemplateFault(
                message instanceof Value.Text text ? text.text() : "the template refuses the conversation");
    }

    private Value range(Arguments given) {
        List<Value> bounds = given.positional();
        if (!given.named().isEmpty() || bounds.isEmpty() || bounds.size() > 3) {
            throw new TemplateFault("range() takes one to three integers");
        }
        long start = bounds.size() == 1 ? 0 : Operators.index(bounds.get(0));
        long end = Operators.index(bounds.get(bounds.size() == 1 ? 0 : 1));
        long step = bounds.size() == 3 ? Operators.index(bounds.get(2)) : 1;
        if (step == 0) {
            throw new TemplateFault("the step of a range is 0");
        }
        long size = Math.max(0, Math.ceilDiv(end - start, step));
        budget.items(size, size);
        List<Value> items = new ArrayList<>((int) size);
        for (long i = 0; i < size; i++) {
            items.add(Value.Int.of(start + i * step));
        }
        return new Value.Sequence(Kind.RANGE, items);
    }

    private Map<Value, Value> entries(Arguments given) {
        Map<Value, Value> entries = new LinkedHashMap<>();
        if (given.positional().size() > 1) {
            throw new TemplateFault(given.called() + "() takes one argument without a name at most");
        }
        for (Value from : given.positional()) {
            if (from instanceof Value.Dict dict) {
                entries.putAll(dict.entries());
            } else {
                Operators operators = new Operators(budget);
                for (Value pair : operators.list(from)) {
                    List<Value> both = operators.list(pair);
                    if (both.size() != 2) {
                        throw new TemplateFault(given.called() + "() needs pairs of a key and a value");
                    }
                    entries.put(Evaluator.newKey(both.get(0)), both.get(1));
                }
            }
        }
        given.named().forEach((name, value) -> entries.put(new Value.Text(name), value));
        budget.items(entries.size(), entries.size());
        return entries;
    }

    private Value namespace(Arguments given) {
        Value.Namespace namespace = new Value.Namespace();
        entries(given).forEach((key, value) -> {
            if (!(key instanceof Value.Text name)) {
                throw new TemplateFault("a namespace needs texts as names");
            }
            namespace.fields.put(name.text(), value);
        });
        return namespace;
    }

    /** The time of the rendering, by the codes of C. */
    private Value time(Arguments given) {
        String format = given.bind("format").needText("format");
        Output out = new Output(budget);
        for (int i = 0; i < format.length(); i++) {
            char next = format.charAt(i);
            if (next != '%') {
                out.append(Character.toString(next));
                continue;
            }
            boolean unpadded = i + 1 < format.length() && format.charAt(i + 1) == '-';
            i += unpadded ? 2 : 1;
            String field = field(i < format.length() ? format.charAt(i) : ' ');
            out.append(unpadded ? field.replaceFirst("^0+(?=[0-9])", "") : field);
        }
        return new Value.Text(out.text());
    }

    private String field(char code) {
        String pattern = switch (code) {
            case 'Y' -> "uuuu";
            case 'y' -> "uu";
            case 'm' -> "MM";
            case 'B' -> "MMMM";
            case 'b', 'h' -> "MMM";
            case 'd' -> "dd";
            case 'e' -> "ppd";
            case 'j' -> "DDD";
            case 'A' -> "EEEE";
            case 'a' -> "EEE";
            case 'H' -> "HH";
            case 'I' -> "hh";
            case 'M' -> "mm";
            case 'S' -> "ss";
            case 'p' -> "a";
            case 'F' -> "uuuu-MM-dd";
            case 'T' -> "HH:mm:ss";
            case 'R' -> "HH:mm";
            case 'D' -> "MM/dd/uu";
            case '%' -> "'%'";
            default -> throw new TemplateFault("strftime_now() does not support the code '%" + code + "'");
        };
        try {
            return DateTimeFormatter.ofPattern(pattern, Locale.ENGLISH).format(now);
        } catch (DateTimeException impossible) {
            throw new TemplateFault("strftime_now() cannot write '%" + code + "'");
        }
    }
}
