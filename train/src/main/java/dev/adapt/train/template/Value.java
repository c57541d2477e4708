package dev.adapt.train.template;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** All that a template can hold. No object of Java is among it, so none can be reached. */
sealed interface Value {
    /** Ordered, so that a dict of texts with equal hashes stays fast. */
    record Text(String text) implements Value, Comparable<Text> {
        @Override
        public int compareTo(Text other) {
            return text.compareTo(other.text);
        }
    }

    /** At most {@link Budget#BITS} bits. */
    record Int(BigInteger value) implements Value {
        static Int of(long value) {
            return new Int(BigInteger.valueOf(value));
        }
    }

    record Real(double value) implements Value {}

    record Bool(boolean value) implements Value {}

    enum None implements Value {
        NONE
    }

    /**
     * What a name or attribute that is not there stands for: false, empty, and a fault where more is asked of it.
     *
     * @param reason of that fault
     */
    record Undefined(String reason) implements Value {}

    /** How Python would call a sequence. */
    enum Kind {
        LIST("list", true),
        TUPLE("tuple", true),
        RANGE("range", true),
        KEYS("dict_keys", false),
        VALUES("dict_values", false),
        ITEMS("dict_items", false);

        final String python;
        final boolean indexed;

        Kind(String python, boolean indexed) {
            this.python = python;
            this.indexed = indexed;
        }
    }

    /** Never changed after it is made. */
    record Sequence(Kind kind, List<Value> items) implements Value {
        static Sequence list(List<Value> items) {
            return new Sequence(Kind.LIST, items);
        }

        static Sequence tuple(Value... items) {
            return new Sequence(Kind.TUPLE, List.of(items));
        }
    }

    /** In the order of insertion; never changed after it is made. Keys are texts, numbers, booleans and none. */
    record Dict(Map<Value, Value> entries) implements Value {
        Optional<Value> get(Value key) {
            return Optional.ofNullable(entries.get(key(key)));
        }

        /** What finds an entry: in Python {@code 1}, {@code 1.0} and {@code true} are one key. */
        static Value key(Value value) {
            return switch (value) {
                case Bool bool -> Int.of(bool.value() ? 1 : 0);
                case Real real
                when real.value() == Math.rint(real.value()) && Math.abs(real.value()) < 1L << 53 ->
                    Int.of((long) real.value());
                case Text text -> text;
                case Int number -> number;
                case Real real -> real;
                case None none -> none;
                default ->
                    throw new TemplateFault("the key of a dict must be a text, number, boolean or none, not "
                            + Operators.described(value));
            };
        }
    }

    /** What can be iterated once: the result of filters such as {@code map}. */
    record Stream(Iterator<Value> rest) implements Value {}

    /** What {@code namespace()} makes: the only value that a template can change. */
    final class Namespace implements Value {
        final Map<String, Value> fields = new LinkedHashMap<>();
    }

    /** A macro, a function of ours or a method of a value. */
    final class Callable implements Value {
        final String name;
        final Body body;

        Callable(String name, Body body) {
            this.name = name;
            this.body = body;
        }

        interface Body {
            Value call(Arguments arguments);
        }
    }

    /** What {@code loop} stands for. */
    record LoopState(Loop loop) implements Value {}

    /**
     * A value of JSON: text, number, boolean, null, list or map from text.
     *
     * @throws IllegalArgumentException for anything else
     */
    static Value of(@Nullable Object plain) {
        return switch (plain) {
            case null -> None.NONE;
            case Value value -> value;
            case String text -> new Text(text);
            case Boolean bool -> new Bool(bool);
            case Integer number -> Int.of(number);
            case Long number -> Int.of(number);
            case BigInteger number when number.bitLength() <= Budget.BITS -> new Int(number);
            case Number number
            when number instanceof Double || number instanceof Float -> new Real(number.doubleValue());
            case Collection<?> items -> {
                List<Value> values = new ArrayList<>(items.size());
                items.forEach(item -> values.add(of(item)));
                yield Sequence.list(values);
            }
            case Map<?, ?> map -> {
                Map<Value, Value> entries = new LinkedHashMap<>();
                map.forEach((key, value) -> entries.put(Dict.key(of(key)), of(value)));
                yield new Dict(entries);
            }
            default -> throw new IllegalArgumentException("no value of JSON: " + plain.getClass());
        };
    }
}
