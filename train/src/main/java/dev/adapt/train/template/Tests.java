package dev.adapt.train.template;

import java.math.BigInteger;
import java.util.Map;

/** The tests behind {@code is}. */
final class Tests {
    private static final Map<String, String> COMPARISONS = Map.ofEntries(
            Map.entry("eq", "=="),
            Map.entry("equalto", "=="),
            Map.entry("ne", "!="),
            Map.entry("lt", "<"),
            Map.entry("lessthan", "<"),
            Map.entry("le", "<="),
            Map.entry("gt", ">"),
            Map.entry("greaterthan", ">"),
            Map.entry("ge", ">="),
            Map.entry("in", "in"),
            // a filter names tests by text
            Map.entry("==", "=="),
            Map.entry("!=", "!="),
            Map.entry("<", "<"),
            Map.entry("<=", "<="),
            Map.entry(">", ">"),
            Map.entry(">=", ">="));

    private Tests() {}

    /** Whether {@code value} passes the test that {@code arguments} is for. */
    static boolean holds(Interpreter run, Value value, Arguments arguments) {
        String name = arguments.called();
        if (COMPARISONS.containsKey(name)) {
            Value other = arguments.bind("other").need("other");
            return run.operators().compare(COMPARISONS.getOrDefault(name, ""), value, other);
        }
        return switch (name) {
            case "divisibleby" -> {
                BigInteger by = whole(arguments.bind("num").need("num"), name);
                if (by.signum() == 0) {
                    throw new TemplateFault("a division by zero");
                }
                yield whole(value, name).mod(by.abs()).signum() == 0;
            }
            case "sameas" -> same(run, value, arguments.bind("other").need("other"));
            case "filter" -> Filters.exists(run.printer().text(value));
            case "test" -> exists(run.printer().text(value));
            default -> {
                arguments.bind();
                yield plain(run, value, name);
            }
        };
    }

    static boolean exists(String name) {
        return COMPARISONS.containsKey(name)
                || switch (name) {
                    case "defined",
                            "undefined",
                            "none",
                            "boolean",
                            "true",
                            "false",
                            "string",
                            "mapping",
                            "sequence",
                            "iterable",
                            "callable",
                            "number",
                            "integer",
                            "float",
                            "odd",
                            "even",
                            "lower",
                            "upper",
                            "divisibleby",
                            "sameas",
                            "filter",
                            "test" -> true;
                    default -> false;
                };
    }

    private static boolean plain(Interpreter run, Value value, String name) {
        return switch (name) {
            case "defined" -> !(value instanceof Value.Undefined);
            case "undefined" -> value instanceof Value.Undefined;
            case "none" -> value == Value.None.NONE;
            case "boolean" -> value instanceof Value.Bool;
            case "true" -> value instanceof Value.Bool bool && bool.value();
            case "false" -> value instanceof Value.Bool bool && !bool.value();
            case "string" -> value instanceof Value.Text;
            case "mapping" -> value instanceof Value.Dict;
            case "sequence" -> isSequence(value);
            case "iterable" -> isSequence(value) || value instanceof Value.Sequence || value instanceof Value.Stream;
            case "callable" -> value instanceof Value.Callable;
            case "number" -> Operators.real(value).isPresent();
            case "integer" -> value instanceof Value.Int;
            case "float" -> value instanceof Value.Real;
            case "odd" -> whole(value, name).testBit(0);
            case "even" -> !whole(value, name).testBit(0);
            case "lower" -> run.texts().isCase(run.printer().text(value), false);
            case "upper" -> run.texts().isCase(run.printer().text(value), true);
            default -> throw new TemplateFault("the test 'is " + name + "' is not supported");
        };
    }

    /** What has a length and items: in Jinja2 also a text, a dict and what is undefined. */
    private static boolean isSequence(Value value) {
        return value instanceof Value.Text
                || value instanceof Value.Dict
                || value instanceof Value.Undefined
                || (value instanceof Value.Sequence sequence && sequence.kind().indexed);
    }

    private static BigInteger whole(Value value, String name) {
        Operators.defined(value);
        return Operators.whole(value)
                .orElseThrow(() -> new TemplateFault(
                        "the test 'is " + name + "' needs an integer, not " + Operators.described(value)));
    }

    @SuppressWarnings("ReferenceEquality") // identity is what the test is for
    private static boolean isOne(Value left, Value right) {
        return left == right;
    }

    /** Identity, which of plain values is equality of value and kind. */
    private static boolean same(Interpreter run, Value left, Value right) {
        return switch (left) {
            case Value.Sequence ignored -> isOne(left, right);
            case Value.Dict ignored -> isOne(left, right);
            default -> left.getClass() == right.getClass() && run.operators().same(left, right);
        };
    }
}
