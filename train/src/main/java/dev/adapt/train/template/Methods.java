package dev.adapt.train.template;

import dev.adapt.train.template.Arguments.Bound;
import dev.adapt.train.template.Value.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** The methods of texts, lists and dicts: those below and no others. */
final class Methods {
    /** What Python has and templates do not need: asking for it is a fault, not an attribute that is missing. */
    private static final Map<Class<? extends Value>, Set<String>> UNSUPPORTED = Map.of(
            Value.Text.class,
            Set.of(
                    "casefold",
                    "encode",
                    "expandtabs",
                    "format",
                    "format_map",
                    "isascii",
                    "isdecimal",
                    "isidentifier",
                    "isnumeric",
                    "isprintable",
                    "istitle",
                    "maketrans",
                    "swapcase",
                    "translate"),
            Value.Dict.class,
            Set.of("fromkeys"));

    private static final Map<Class<? extends Value>, Set<String>> CHANGING = Map.of(
            Value.Sequence.class,
            Set.of("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"),
            Value.Dict.class,
            Set.of("clear", "pop", "popitem", "setdefault", "update"));

    private static final Map<String, Method<String>> TEXT = Map.ofEntries(
            text("strip", List.of("chars"), (in, own, by) -> in.strip(own, by.text("chars"), true, true)),
            text("lstrip", List.of("chars"), (in, own, by) -> in.strip(own, by.text("chars"), true, false)),
            text("rstrip", List.of("chars"), (in, own, by) -> in.strip(own, by.text("chars"), false, true)),
            text("upper", List.of(), (in, own, by) -> in.upper(own)),
            text("lower", List.of(), (in, own, by) -> in.lower(own)),
            text("title", List.of(), (in, own, by) -> in.title(own)),
            text("capitalize", List.of(), (in, own, by) -> in.capitalized(own)),
            text(
                    "replace",
                    List.of("old", "new", "count"),
                    (in, own, by) -> in.replace(own, by.needText("old"), by.needText("new"), by.integer("count", -1))),
            text(
                    "removeprefix",
                    List.of("prefix"),
                    (in, own, by) -> own.startsWith(by.needText("prefix"))
                            ? own.substring(by.needText("prefix").length())
                            : own),
            text(
                    "removesuffix",
                    List.of("suffix"),
                    (in, own, by) -> own.endsWith(by.needText("suffix"))
                            ? own.substring(
                                    0, own.length() - by.needText("suffix").length())
                            : own),
            text("center", List.of("width", "fill"), (in, own, by) -> padded(in, own, by, true, true)),
            text("ljust", List.of("width", "fill"), (in, own, by) -> padded(in, own, by, false, true)),
            text("rjust", List.of("width", "fill"), (in, own, by) -> padded(in, own, by, true, false)),
            text("zfill", List.of("width"), Methods::zeros),
            method(
                    "split",
                    List.of("sep", "maxsplit"),
                    (run, own, by) -> Value.Sequence.list(
                            run.texts().split(own, by.text("sep"), by.integer("maxsplit", -1), false))),
            method(
                    "rsplit",
                    List.of("sep", "maxsplit"),
                    (run, own, by) -> Value.Sequence.list(
                            run.texts().split(own, by.text("sep"), by.integer("maxsplit", -1), true))),
            method(
                    "splitlines",
                    List.of("keepends"),
                    (run, own, by) -> Value.Sequence.list(run.texts().lines(own, by.flag("keepends")))),
            method("partition", List.of("sep"), (run, own, by) -> partition(run, own, by.needText("sep"), false)),
            method("rpartition", List.of("sep"), (run, own, by) -> partition(run, own, by.needText("sep"), true)),
            method("startswith", List.of("prefix", "start"), (run, own, by) -> begins(run, own, by, true)),
            method("endswith", List.of("suffix"), (run, own, by) -> begins(run, own, by, false)),
            method("join", List.of("iterable"), Methods::join),
            method(
                    "find",
                    List.of("sub"),
                    (run, own, by) -> Value.Int.of(run.texts().find(own, by.needText("sub"), false))),
            method(
                    "rfind",
                    List.of("sub"),
                    (run, own, by) -> Value.Int.of(run.texts().find(own, by.needText("sub"), true))),
            method("index", List.of("sub"), (run, own, by) -> found(run.texts().find(own, by.needText("sub"), false))),
            method("rindex", List.of("sub"), (run, own, by) -> found(run.texts().find(own, by.needText("sub"), true))),
            method(
                    "count",
                    List.of("sub"),
                    (run, own, by) -> Value.Int.of(run.texts().count(own, by.needText("sub")))),
            method("isdigit", List.of(), (run, own, by) -> bool(run.texts().all(own, Character::isDigit))),
            method("isalpha", List.of(), (run, own, by) -> bool(run.texts().all(own, Character::isLetter))),
            method("isalnum", List.of(), (run, own, by) -> bool(run.texts().all(own, Character::isLetterOrDigit))),
            method("isspace", List.of(), (run, own, by) -> bool(run.texts().all(own, TextMethods::isSpace))),
            method("isupper", List.of(), (run, own, by) -> bool(run.texts().isCase(own, true))),
            method("islower", List.of(), (run, own, by) -> bool(run.texts().isCase(own, false))));

    private static final Map<String, Method<Value.Dict>> DICT = Map.ofEntries(
            method(
                    "get",
                    List.of("key", "default"),
                    (run, own, by) ->
                            own.get(by.need("key")).orElse(by.get("default").orElse(Value.None.NONE))),
            method("keys", List.of(), (run, own, by) -> keys(own)),
            method(
                    "values",
                    List.of(),
                    (run, own, by) -> new Value.Sequence(
                            Kind.VALUES, List.copyOf(own.entries().values()))),
            method("items", List.of(), (run, own, by) -> items(own)),
            method("copy", List.of(), (run, own, by) -> own));

    private static final Map<String, Method<Value.Sequence>> LIST = Map.ofEntries(
            method("index", List.of("value"), (run, own, by) -> {
                List<Value> items = own.items();
                int at = 0;
                while (at < items.size() && !run.operators().same(items.get(at), by.need("value"))) {
                    at++;
                }
                return found(at < items.size() ? at : -1);
            }),
            method(
                    "count",
                    List.of("value"),
                    (run, own, by) -> Value.Int.of(own.items().stream()
                            .filter(item -> run.operators().same(item, by.need("value")))
                            .count())),
            method("copy", List.of(), (run, own, by) -> own));

    private Methods() {}

    private record Method<T>(List<String> parameters, Body<T> body) {
        Value bound(String name, Interpreter run, T own) {
            return new Value.Callable(
                    name, given -> body.call(run, own, given.bind(parameters.toArray(String[]::new))));
        }
    }

    private interface Body<T> {
        Value call(Interpreter run, T own, Bound by);
    }

    private interface TextBody {
        String call(TextMethods in, String own, Bound by);
    }

    private static <T> Map.Entry<String, Method<T>> method(String name, List<String> parameters, Body<T> body) {
        return Map.entry(name, new Method<>(parameters, body));
    }

    private static Map.Entry<String, Method<String>> text(String name, List<String> parameters, TextBody body) {
        return method(name, parameters, (run, own, by) -> new Value.Text(body.call(run.texts(), own, by)));
    }

    /** The method {@code name} of {@code value}, if it has one; undefined where calling it would change the value. */
    static Optional<Value> of(Value value, String name, Interpreter run) {
        if (UNSUPPORTED.getOrDefault(value.getClass(), Set.of()).contains(name)) {
            throw new TemplateFault("the method '" + name + "' of " + Operators.described(value) + " is not supported");
        }
        if (CHANGING.getOrDefault(value.getClass(), Set.of()).contains(name)) {
            return Optional.of(new Value.Undefined(
                    "'" + name + "' would change " + Operators.described(value) + ", which a template cannot"));
        }
        return switch (value) {
            case Value.Text text ->
                Optional.ofNullable(TEXT.get(name)).map(method -> method.bound(name, run, text.text()));
            case Value.Dict dict -> Optional.ofNullable(DICT.get(name)).map(method -> method.bound(name, run, dict));
            case Value.Sequence list
            when list.kind().indexed ->
                Optional.ofNullable(LIST.get(name)).map(method -> method.bound(name, run, list));
            default -> Optional.empty();
        };
    }

    static Value keys(Value.Dict dict) {
        return new Value.Sequence(Kind.KEYS, List.copyOf(dict.entries().keySet()));
    }

    static Value.Sequence items(Value.Dict dict) {
        List<Value> items = new ArrayList<>();
        dict.entries().forEach((key, value) -> items.add(Value.Sequence.tuple(key, value)));
        return new Value.Sequence(Kind.ITEMS, items);
    }

    private static Value bool(boolean value) {
        return new Value.Bool(value);
    }

    private static Value found(int index) {
        if (index < 0) {
            throw new TemplateFault("index() does not find what it looks for");
        }
        return Value.Int.of(index);
    }

    private static String padded(TextMethods in, String own, Bound by, boolean left, boolean right) {
        String fill = by.text("fill").orElse(" ");
        if (fill.codePointCount(0, fill.length()) != 1) {
            throw new TemplateFault(by.called() + " needs one character to fill with");
        }
        return in.padded(own, Operators.index(by.need("width")), fill, left, right);
    }

    private static String zeros(TextMethods in, String own, Bound by) {
        boolean signed = own.startsWith("-") || own.startsWith("+");
        int width = Operators.index(by.need("width"));
        return signed
                ? own.charAt(0) + in.padded(own.substring(1), width - 1, "0", true, false)
                : in.padded(own, width, "0", true, false);
    }

    private static Value partition(Interpreter run, String own, String separator, boolean last) {
        if (separator.isEmpty()) {
            throw new TemplateFault("a text cannot be split at an empty separator");
        }
        int at = run.texts().place(own, separator, last);
        List<String> parts = at >= 0
                ? List.of(own.substring(0, at), separator, own.substring(at + separator.length()))
                : last ? List.of("", "", own) : List.of(own, "", "");
        return new Value.Sequence(
                Kind.TUPLE, parts.stream().<Value>map(Value.Text::new).toList());
    }

    private static Value begins(Interpreter run, String own, Bound by, boolean start) {
        Value wanted = by.need(start ? "prefix" : "suffix");
        List<Value> any =
                wanted instanceof Value.Sequence tuple && tuple.kind() == Kind.TUPLE ? tuple.items() : List.of(wanted);
        int skipped = Math.min(Math.max(0, by.integer("start", 0)), own.codePointCount(0, own.length()));
        String rest = own.substring(own.offsetByCodePoints(0, skipped));
        for (Value one : any) {
            if (!(one instanceof Value.Text part)) {
                throw new TemplateFault(by.called() + " needs a text, not " + Operators.described(one));
            }
            run.budget().read(part.text().length());
            if (start ? rest.startsWith(part.text()) : rest.endsWith(part.text())) {
                return bool(true);
            }
        }
        return bool(false);
    }

    private static Value join(Interpreter run, String own, Bound by) {
        Output out = new Output(run.budget());
        String separator = "";
        for (Value item : run.operators().list(by.need("iterable"))) {
            if (!(item instanceof Value.Text part)) {
                throw new TemplateFault("join() needs texts, not " + Operators.described(item));
            }
            out.append(separator).append(part.text());
            separator = own;
        }
        return new Value.Text(out.text());
    }
}
