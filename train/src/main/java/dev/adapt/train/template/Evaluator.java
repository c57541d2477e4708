package dev.adapt.train.template;

import dev.adapt.train.template.Expression.Inputs;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Finds the values of expressions. */
final class Evaluator {
    private final Interpreter run;
    private final Budget budget;
    private final Operators operators;

    Evaluator(Interpreter run) {
        this.run = run;
        this.budget = run.budget();
        this.operators = run.operators();
    }

    Value value(Expression expression, Scope scope) {
        budget.enter();
        try {
            Value value = evaluate(expression, scope);
            budget.leave();
            return value;
        } catch (TemplateFault fault) {
            throw fault.at(expression.line());
        }
    }

    private Value evaluate(Expression expression, Scope scope) {
        return switch (expression) {
            case Expression.Literal literal -> literal.value();
            case Expression.Name name ->
                scope.find(name.name()).orElseGet(() -> new Value.Undefined("'" + name.name() + "' is undefined"));
            case Expression.Items items -> new Value.Sequence(items.kind(), values(items.items(), scope));
            case Expression.Mapping mapping -> dict(mapping, scope);
            case Expression.Attribute attribute -> attribute(value(attribute.target(), scope), attribute.name());
            case Expression.Subscript subscript ->
                item(value(subscript.target(), scope), value(subscript.index(), scope));
            case Expression.Slice slice ->
                operators.slice(
                        Operators.defined(value(slice.target(), scope)),
                        bound(slice.from(), scope),
                        bound(slice.to(), scope),
                        bound(slice.step(), scope));
            case Expression.Call call -> call(call, Map.of(), scope);
            case Expression.Filter filter ->
                filtered(filter.line(), filter.name(), value(filter.input(), scope), filter.inputs(), scope);
            case Expression.Test test ->
                new Value.Bool(
                        Tests.holds(run, value(test.input(), scope), run.arguments(test.name(), test.inputs(), scope)));
            case Expression.Not not -> new Value.Bool(!Operators.truth(value(not.of(), scope)));
            case Expression.Sign sign -> signed(sign.negative(), value(sign.of(), scope));
            case Expression.Arithmetic sum ->
                new Arithmetic(budget).apply(sum.operator(), value(sum.left(), scope), value(sum.right(), scope));
            case Expression.Concatenation parts -> {
                Output out = new Output(budget);
                parts.parts().forEach(part -> out.append(run.printer().text(value(part, scope))));
                yield new Value.Text(out.text());
            }
            case Expression.Logic logic -> logic(logic, scope);
            case Expression.Comparison comparison -> comparison(comparison, scope);
            case Expression.Conditional choice ->
                Operators.truth(value(choice.test(), scope))
                        ? value(choice.then(), scope)
                        : choice.otherwise()
                                .map(otherwise -> value(otherwise, scope))
                                .orElse(new Value.Undefined("an inline 'if' without 'else' has no value here"));
        };
    }

    private List<Value> values(List<Expression> expressions, Scope scope) {
        budget.items(expressions.size(), expressions.size());
        List<Value> values = new ArrayList<>(expressions.size());
        expressions.forEach(item -> values.add(value(item, scope)));
        return values;
    }

    private Value bound(Optional<Expression> expression, Scope scope) {
        return expression.map(given -> value(given, scope)).orElse(Value.None.NONE);
    }

    private Value dict(Expression.Mapping mapping, Scope scope) {
        Map<Value, Value> entries = new LinkedHashMap<>();
        budget.items(mapping.pairs().size(), mapping.pairs().size());
        for (Expression.Pair pair : mapping.pairs()) {
            entries.put(newKey(value(pair.key(), scope)), value(pair.value(), scope));
        }
        return new Value.Dict(entries);
    }

    /** A key of a dict in the making. */
    static Value newKey(Value key) {
        if (key instanceof Value.Bool || key instanceof Value.Real) {
            throw new TemplateFault(Operators.described(key) + " as the key of a dict is not supported");
        }
        return Value.Dict.key(key);
    }

    private Value logic(Expression.Logic logic, Scope scope) {
        Value value = Value.None.NONE;
        for (Expression part : logic.parts()) {
            value = value(part, scope);
            if (Operators.truth(value) != logic.and()) {
                break;
            }
        }
        return value;
    }

    private Value comparison(Expression.Comparison comparison, Scope scope) {
        Value left = value(comparison.first(), scope);
        for (Expression.Link link : comparison.links()) {
            Value right = value(link.with(), scope);
            if (!operators.compare(link.operator(), left, right)) {
                return new Value.Bool(false);
            }
            left = right;
        }
        return new Value.Bool(true);
    }

    private static Value signed(boolean negative, Value value) {
        Operators.defined(value);
        if (value instanceof Value.Real real) {
            return new Value.Real(negative ? -real.value() : real.value());
        }
        return Operators.whole(value)
                .map(number -> Arithmetic.bounded(negative ? number.negate() : number))
                .orElseThrow(() -> new TemplateFault(Operators.described(value) + " takes no sign"));
    }

    /** {@code value.name}: a method, then the entry of a dict. */
    Value attribute(Value value, String name) {
        Operators.defined(value);
        return switch (value) {
            case Value.Namespace space ->
                Optional.ofNullable(space.fields.get(name)).orElseGet(() -> missing(value, name));
            case Value.LoopState loop -> loop.loop().attribute(name);
            case Value.Dict dict ->
                Methods.of(value, name, run)
                        .or(() -> dict.get(new Value.Text(name)))
                        .orElseGet(() -> missing(value, name));
            default -> Methods.of(value, name, run).orElseGet(() -> missing(value, name));
        };
    }

    /** {@code value[index]}: the entry of a dict, item of a list or character of a text, then an attribute. */
    Value item(Value value, Value index) {
        Operators.defined(value);
        Optional<Value> item = value instanceof Value.Dict dict ? dict.get(index) : operators.item(value, index);
        return item.orElseGet(() -> index instanceof Value.Text name
                ? attribute(value, name.text())
                : new Value.Undefined(Operators.described(value) + " has no item " + brief(index)));
    }

    private static String brief(Value index) {
        return index instanceof Value.Int number ? number.value().toString() : "at " + Operators.described(index);
    }

    private static Value missing(Value value, String name) {
        return new Value.Undefined(Operators.described(value) + " has no '" + name + "'");
    }

    Value filtered(int line, String name, Value input, Inputs inputs, Scope scope) {
        try {
            return run.filter(name, input, run.arguments(name, inputs, scope));
        } catch (TemplateFault fault) {
            throw fault.at(line);
        }
    }

    Value call(Expression.Call call, Map<String, Value> more, Scope scope) {
        Value target = Operators.defined(value(call.target(), scope));
        if (!(target instanceof Value.Callable callable)) {
            throw new TemplateFault(call.line(), Operators.described(target) + " cannot be called");
        }
        Arguments given = run.arguments(callable.name, call.inputs(), scope);
        Map<String, Value> named = new LinkedHashMap<>(given.named());
        named.putAll(more);
        budget.enter();
        try {
            Value value = callable.body.call(new Arguments(callable.name, given.positional(), named));
            budget.leave();
            return value;
        } catch (TemplateFault fault) {
            throw fault.at(call.line());
        }
    }
}
