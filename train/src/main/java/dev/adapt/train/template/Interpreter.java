package dev.adapt.train.template;

import dev.adapt.train.template.Expression.Inputs;
import dev.adapt.train.template.Statement.Macro;
import dev.adapt.train.template.Statement.Target;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Set;

/** Runs the statements of one template, once. */
final class Interpreter {
    /** What follows a statement. */
    private enum Flow {
        NEXT,
        BREAK,
        CONTINUE
    }

    private final Budget budget = new Budget();
    private final Operators operators = new Operators(budget);
    private final Printer printer = new Printer(budget);
    private final TextMethods texts = new TextMethods(budget);
    private final Evaluator evaluator = new Evaluator(this);
    private Output out = new Output(budget);

    Budget budget() {
        return budget;
    }

    Operators operators() {
        return operators;
    }

    Printer printer() {
        return printer;
    }

    TextMethods texts() {
        return texts;
    }

    String run(List<Statement> template, Scope names) {
        all(template, names);
        return out.text();
    }

    private Flow all(List<Statement> statements, Scope scope) {
        Flow flow = Flow.NEXT;
        Iterator<Statement> rest = statements.iterator();
        while (flow == Flow.NEXT && rest.hasNext()) {
            flow = one(rest.next(), scope);
        }
        return flow;
    }

    private Flow one(Statement statement, Scope scope) {
        budget.enter();
        Flow flow = Flow.NEXT;
        switch (statement) {
            case Statement.Data data -> out.append(data.text());
            case Statement.Print print -> out.append(printed(print.value(), scope));
            case Statement.If choice -> flow = conditional(choice, scope);
            case Statement.For loop -> flow = loop(loop, scope);
            case Statement.Set set -> assign(set.line(), set.target(), evaluator.value(set.value(), scope), scope);
            case Statement.SetBlock block ->
                assign(block.line(), block.target(), filtered(block.filters(), block.body(), scope), scope);
            case Statement.FilterBlock block ->
                out.append(printer.text(filtered(block.filters(), block.body(), scope)));
            case Statement.With with -> {
                Scope inner = scope.inner();
                for (Statement.Set set : with.sets()) {
                    assign(set.line(), set.target(), evaluator.value(set.value(), scope), inner);
                }
                flow = all(with.body(), inner);
            }
            case Statement.Define define -> scope.set(define.macro().name(), callable(define.macro(), scope));
            case Statement.CallBlock block -> {
                Value body = callable(block.body(), scope);
                out.append(printer.text(evaluator.call(block.call(), Map.of("caller", body), scope)));
            }
            case Statement.Generation generation -> all(generation.body(), scope.inner());
            case Statement.Break ignored -> flow = Flow.BREAK;
            case Statement.Continue ignored -> flow = Flow.CONTINUE;
        }
        budget.leave();
        return flow;
    }

    private String printed(Expression expression, Scope scope) {
        try {
            return printer.text(evaluator.value(expression, scope));
        } catch (TemplateFault fault) {
            throw fault.at(expression.line());
        }
    }

    private Flow conditional(Statement.If choice, Scope scope) {
        for (Statement.Branch branch : choice.branches()) {
            if (Operators.truth(evaluator.value(branch.test(), scope))) {
                return all(branch.body(), scope);
            }
        }
        return all(choice.otherwise(), scope);
    }

    private Flow loop(Statement.For statement, Scope scope) {
        Iterator<Value> items;
        try {
            items = operators.iterator(evaluator.value(statement.items(), scope));
        } catch (TemplateFault fault) {
            throw fault.at(statement.line());
        }
        Iterator<Value> wanted = statement
                .test()
                .<Iterator<Value>>map(test -> new Filtered(items, statement, test, scope))
                .orElse(items);
        Loop loop = new Loop(wanted, budget);
        boolean any = false;
        Flow flow = Flow.NEXT;
        while (flow != Flow.BREAK && loop.advance()) {
            any = true;
            budget.read(0);
            Scope inner = scope.inner();
            inner.set("loop", new Value.LoopState(loop));
            assign(statement.line(), statement.target(), loop.now(), inner);
            flow = all(statement.body(), inner);
        }
        return any ? Flow.NEXT : all(statement.otherwise(), scope.inner());
    }

    /** The items that pass the test of a loop, each tested when it is asked for. */
    private final class Filtered implements Iterator<Value> {
        private final Iterator<Value> items;
        private final Statement.For statement;
        private final Expression test;
        private final Scope scope;
        private Optional<Value> next = Optional.empty();

        Filtered(Iterator<Value> items, Statement.For statement, Expression test, Scope scope) {
            this.items = items;
            this.statement = statement;
            this.test = test;
            this.scope = scope;
        }

        @Override
        public boolean hasNext() {
            while (next.isEmpty() && items.hasNext()) {
                Value item = items.next();
                Scope inner = scope.inner();
                assign(statement.line(), statement.target(), item, inner);
                next = Operators.truth(evaluator.value(test, inner)) ? Optional.of(item) : Optional.empty();
            }
            return next.isPresent();
        }

        @Override
        public Value next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            Value item = next.orElseThrow();
            next = Optional.empty();
            return item;
        }
    }

    private void assign(int line, Target target, Value value, Scope scope) {
        switch (target) {
            case Target.Variable variable -> scope.set(variable.name(), value);
            case Target.Field field -> {
                if (!(scope.find(field.namespace()).orElse(Value.None.NONE) instanceof Value.Namespace namespace)) {
                    throw new TemplateFault(
                            line,
                            "'" + field.namespace() + "' is no namespace, so '" + field.name()
                                    + "' of it cannot be set");
                }
                budget.items(1, namespace.fields.size() + 1L);
                namespace.fields.put(field.name(), value);
            }
            case Target.Several several -> {
                List<Value> parts;
                try {
                    parts = operators.list(value);
                } catch (TemplateFault fault) {
                    throw fault.at(line);
                }
                if (parts.size() != several.parts().size()) {
                    throw new TemplateFault(
                            line, "expected " + several.parts().size() + " values to unpack and found " + parts.size());
                }
                for (int i = 0; i < parts.size(); i++) {
                    assign(line, several.parts().get(i), parts.get(i), scope);
                }
            }
        }
    }

    private Value filtered(List<Statement.FilterCall> filters, List<Statement> body, Scope scope) {
        Value value = new Value.Text(captured(body, scope.inner()));
        for (Statement.FilterCall filter : filters) {
            value = evaluator.filtered(filter.line(), filter.name(), value, filter.inputs(), scope);
        }
        return value;
    }

    private String captured(List<Statement> body, Scope scope) {
        Output around = out;
        out = new Output(budget);
        all(body, scope);
        String text = out.text();
        out = around;
        return text;
    }

    private Value callable(Macro macro, Scope defined) {
        return new Value.Callable(
                macro.name(), given -> new Value.Text(captured(macro.body(), parameters(macro, given, defined))));
    }

    /** The names in a macro: each parameter as given or by default, then what else the body asks for. */
    private Scope parameters(Macro macro, Arguments given, Scope defined) {
        Scope scope = defined.inner();
        Set<String> known = new HashSet<>();
        for (int i = 0; i < macro.parameters().size(); i++) {
            Statement.Parameter parameter = macro.parameters().get(i);
            String name = parameter.name();
            Optional<Value> named = Optional.ofNullable(given.named().get(name));
            boolean positional = i < given.positional().size();
            if (!known.add(name) || (positional && named.isPresent())) {
                throw new TemplateFault("the macro '" + macro.name() + "' is given '" + name + "' twice");
            }
            Optional<Value> value = positional ? Optional.of(given.positional().get(i)) : named;
            Optional<Value> preset = parameter
                    .preset()
                    .filter(ignored -> value.isEmpty())
                    .map(expression -> evaluator.value(expression, scope));
            scope.set(
                    name,
                    value.or(() -> preset)
                            .orElse(new Value.Undefined(
                                    "the parameter '" + name + "' of '" + macro.name() + "' is not given")));
        }
        others(macro, given, known, scope);
        return scope;
    }

    private void others(Macro macro, Arguments given, Set<String> known, Scope scope) {
        Map<Value, Value> named = new LinkedHashMap<>();
        given.named().forEach((name, value) -> {
            if (!known.contains(name) && !name.equals("caller")) {
                named.put(new Value.Text(name), value);
            }
        });
        int count = Math.min(macro.parameters().size(), given.positional().size());
        List<Value> positional = new ArrayList<>(
                given.positional().subList(count, given.positional().size()));
        Optional<Value> caller = known.contains("caller")
                ? Optional.empty()
                : Optional.ofNullable(given.named().get("caller"));
        boolean takesAll = (positional.isEmpty() || macro.specials().contains("varargs"))
                && (named.isEmpty() || macro.specials().contains("kwargs"))
                && (caller.isEmpty() || macro.specials().contains("caller"));
        if (!takesAll) {
            throw new TemplateFault("the macro '" + macro.name() + "' is given more than its parameters");
        }
        if (macro.specials().contains("varargs") && !known.contains("varargs")) {
            scope.set("varargs", new Value.Sequence(Value.Kind.TUPLE, positional));
        }
        if (macro.specials().contains("kwargs") && !known.contains("kwargs")) {
            scope.set("kwargs", new Value.Dict(named));
        }
        if (macro.specials().contains("caller") && !known.contains("caller")) {
            scope.set("caller", caller.orElse(new Value.Undefined("no caller is defined")));
        }
    }

    Value filter(String name, Value input, Arguments arguments) {
        return Filters.apply(this, name, input, arguments);
    }

    Value item(Value value, Value index) {
        return evaluator.item(value, index);
    }

    /** What stands between the parentheses of a call, evaluated. */
    Arguments arguments(String called, Inputs inputs, Scope scope) {
        List<Value> positional = new ArrayList<>();
        inputs.positional().forEach(input -> positional.add(evaluator.value(input, scope)));
        Map<String, Value> named = new LinkedHashMap<>();
        inputs.named().forEach((name, input) -> named.put(name, evaluator.value(input, scope)));
        inputs.list().ifPresent(list -> positional.addAll(operators.list(evaluator.value(list, scope))));
        inputs.dict().ifPresent(dict -> {
            if (!(evaluator.value(dict, scope) instanceof Value.Dict more)) {
                throw new TemplateFault("what follows '**' is no dict");
            }
            more.entries().forEach((key, value) -> {
                if (!(key instanceof Value.Text name) || named.putIfAbsent(name.text(), value) != null) {
                    throw new TemplateFault("what follows '**' has a key that is no text or is given twice");
                }
            });
        });
        return new Arguments(called, positional, named);
    }
}
