package dev.adapt.train.template;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What has a value. */
sealed interface Expression {
    /** Counted from 1. */
    int line();

    record Literal(int line, Value value) implements Expression {}

    record Name(int line, String name) implements Expression {}

    /** A list or tuple. */
    record Items(int line, Value.Kind kind, List<Expression> items) implements Expression {}

    record Mapping(int line, List<Pair> pairs) implements Expression {}

    record Pair(Expression key, Expression value) {}

    /** {@code target.name} */
    record Attribute(int line, Expression target, String name) implements Expression {}

    /** {@code target[index]} */
    record Subscript(int line, Expression target, Expression index) implements Expression {}

    /** {@code target[from:to:step]} */
    record Slice(
            int line, Expression target, Optional<Expression> from, Optional<Expression> to, Optional<Expression> step)
            implements Expression {}

    record Call(int line, Expression target, Inputs inputs) implements Expression {}

    /** {@code input | name(inputs)} */
    record Filter(int line, Expression input, String name, Inputs inputs) implements Expression {}

    /** {@code input is name(inputs)} */
    record Test(int line, Expression input, String name, Inputs inputs) implements Expression {}

    record Not(int line, Expression of) implements Expression {}

    /** A number with {@code +} or {@code -} before it. */
    record Sign(int line, boolean negative, Expression of) implements Expression {}

    record Arithmetic(int line, String operator, Expression left, Expression right) implements Expression {}

    /** Texts joined by {@code ~}. */
    record Concatenation(int line, List<Expression> parts) implements Expression {}

    /** The first part that is false ({@code and}) or true ({@code or}), or the last. */
    record Logic(int line, boolean and, List<Expression> parts) implements Expression {}

    /** {@code first < second <= third}: every link must hold. */
    record Comparison(int line, Expression first, List<Link> links) implements Expression {}

    record Link(String operator, Expression with) {}

    /** {@code then if test else otherwise} */
    record Conditional(int line, Expression test, Expression then, Optional<Expression> otherwise)
            implements Expression {}

    /** What stands between the parentheses of a call; {@code *list} and {@code **dict} add to it. */
    record Inputs(
            List<Expression> positional,
            Map<String, Expression> named,
            Optional<Expression> list,
            Optional<Expression> dict) {
        static final Inputs NONE = new Inputs(List.of(), Map.of(), Optional.empty(), Optional.empty());
    }
}
