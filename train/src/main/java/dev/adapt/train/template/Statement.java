package dev.adapt.train.template;

import java.util.List;
import java.util.Optional;

/** What writes output or changes names. */
sealed interface Statement {
    record Data(String text) implements Statement {}

    record Print(Expression value) implements Statement {}

    /** {@code if} and every {@code elif}, in order; {@code otherwise} where none holds. */
    record If(List<Branch> branches, List<Statement> otherwise) implements Statement {}

    record Branch(Expression test, List<Statement> body) {}

    /** Items that fail {@code test} are left out; {@code otherwise} runs where none is left. */
    record For(
            int line,
            Target target,
            Expression items,
            Optional<Expression> test,
            List<Statement> body,
            List<Statement> otherwise)
            implements Statement {}

    record Set(int line, Target target, Expression value) implements Statement {}

    /** What the body writes, through {@code filters}, becomes a value. */
    record SetBlock(int line, Target target, List<FilterCall> filters, List<Statement> body) implements Statement {}

    record FilterBlock(int line, List<FilterCall> filters, List<Statement> body) implements Statement {}

    record FilterCall(int line, String name, Expression.Inputs inputs) {}

    record With(List<Set> sets, List<Statement> body) implements Statement {}

    record Define(Macro macro) implements Statement {}

    /** Calls a macro that may call the body back, as {@code caller}. */
    record CallBlock(Expression.Call call, Macro body) implements Statement {}

    /** What an assistant says; the body has names of its own. */
    record Generation(List<Statement> body) implements Statement {}

    record Break() implements Statement {}

    record Continue() implements Statement {}

    /**
     * A function that gives what its body writes.
     *
     * @param specials those of {@code varargs}, {@code kwargs} and {@code caller} that the body reads: a call may pass
     *     no others
     */
    record Macro(
            int line, String name, List<Parameter> parameters, List<Statement> body, java.util.Set<String> specials) {
        static final java.util.Set<String> SPECIALS = java.util.Set.of("varargs", "kwargs", "caller");
    }

    record Parameter(String name, Optional<Expression> preset) {}

    /** What a value is assigned to. */
    sealed interface Target {
        record Variable(String name) implements Target {}

        /** An attribute of a namespace. */
        record Field(String namespace, String name) implements Target {}

        record Several(List<Target> parts) implements Target {}
    }
}
