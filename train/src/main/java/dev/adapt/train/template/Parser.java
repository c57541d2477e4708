package dev.adapt.train.template;

import dev.adapt.train.template.Statement.Branch;
import dev.adapt.train.template.Statement.FilterCall;
import dev.adapt.train.template.Statement.Macro;
import dev.adapt.train.template.Statement.Parameter;
import dev.adapt.train.template.Statement.Target;
import dev.adapt.train.template.Token.Kind;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Reads the blocks of a template. What Jinja2 knows and chat templates do not use is refused by name. */
final class Parser {
    private static final Set<String> CONSTANTS = Set.of("true", "True", "false", "False", "none", "None");

    private final Cursor cursor;
    private final ExpressionParser expressions;
    private boolean inLoop;

    private Parser(Cursor cursor) {
        this.cursor = cursor;
        this.expressions = new ExpressionParser(cursor);
    }

    static List<Statement> parse(String source) {
        return new Parser(new Cursor(Lexer.tokens(source))).body(Set.of());
    }

    /** Statements up to one of the tags that end them, whose name is then the next token. */
    private List<Statement> body(Set<String> ends) {
        int start = cursor.line();
        cursor.enter();
        List<Statement> body = new ArrayList<>();
        while (true) {
            Token token = cursor.take();
            switch (token.kind()) {
                case DATA -> body.add(new Statement.Data(token.text()));
                case PRINT_BEGIN -> {
                    body.add(new Statement.Print(expressions.tuple(true)));
                    cursor.expect(Kind.PRINT_END, "'}}'");
                }
                case BLOCK_BEGIN -> {
                    if (cursor.now().kind() == Kind.NAME
                            && ends.contains(cursor.now().text())) {
                        cursor.leave();
                        return body;
                    }
                    statement(body);
                    blockEnd();
                }
                default -> {
                    if (!ends.isEmpty()) {
                        throw new TemplateFault(
                                start,
                                "the block that starts here has no '" + String.join("' or '", sorted(ends)) + "'");
                    }
                    cursor.leave();
                    return body;
                }
            }
        }
    }

    private static List<String> sorted(Set<String> names) {
        return names.stream().sorted().toList();
    }

    /** The body of a block whose tag has been read but for its end, through the name of its end. */
    private List<Statement> block(String end) {
        List<Statement> body = blockUntil(Set.of(end));
        cursor.take();
        return body;
    }

    private List<Statement> blockUntil(Set<String> ends) {
        cursor.takeOperator(":");
        blockEnd();
        return body(ends);
    }

    private void blockEnd() {
        cursor.expect(Kind.BLOCK_END, "'%}'");
    }

    private void statement(List<Statement> body) {
        Token tag = cursor.expect(Kind.NAME, "the name of a block");
        int line = tag.line();
        switch (tag.text()) {
            case "if" -> body.add(conditional());
            case "for" -> body.add(loop(line));
            case "set" -> body.add(set(line));
            case "print" -> body.add(new Statement.Print(expressions.tuple(true)));
            case "with" -> body.add(with());
            case "macro" -> body.add(new Statement.Define(macro(line)));
            case "call" -> body.add(call(line));
            case "filter" -> {
                List<FilterCall> filters = expressions.filterCalls();
                body.add(new Statement.FilterBlock(line, filters, apart("endfilter")));
            }
            case "generation" -> body.add(new Statement.Generation(apart("endgeneration")));
            case "break" -> body.add(inLoop(tag, new Statement.Break()));
            case "continue" -> body.add(inLoop(tag, new Statement.Continue()));
            case "block", "extends", "include", "import", "from", "autoescape" ->
                throw new TemplateFault(line, "the block '" + tag.text() + "' is not supported");
            default -> throw new TemplateFault(line, "there is no block '" + tag.text() + "', or none is open here");
        }
    }

    private Statement inLoop(Token tag, Statement jump) {
        if (!inLoop) {
            throw new TemplateFault(tag.line(), "'" + tag.text() + "' stands outside of a loop");
        }
        return jump;
    }

    /** A body that {@code break} and {@code continue} cannot leave. */
    private List<Statement> apart(String end) {
        boolean around = inLoop;
        inLoop = false;
        List<Statement> body = block(end);
        inLoop = around;
        return body;
    }

    private Statement conditional() {
        List<Branch> branches = new ArrayList<>();
        List<Statement> otherwise = List.of();
        String next = "elif";
        while (next.equals("elif")) {
            Expression test = expressions.tuple(false);
            branches.add(new Branch(test, blockUntil(Set.of("elif", "else", "endif"))));
            next = cursor.take().text();
        }
        if (next.equals("else")) {
            otherwise = block("endif");
        }
        return new Statement.If(branches, otherwise);
    }

    private Statement loop(int line) {
        Target target = target(false);
        if (!cursor.takeName("in")) {
            throw cursor.unexpected("'in'");
        }
        Expression items = expressions.tuple(false);
        Optional<Expression> test = cursor.takeName("if") ? Optional.of(expressions.expression()) : Optional.empty();
        if (cursor.now().isName("recursive")) {
            throw new TemplateFault(line, "recursive loops are not supported");
        }
        boolean around = inLoop;
        inLoop = true;
        List<Statement> body = blockUntil(Set.of("else", "endfor"));
        inLoop = around;
        boolean hasElse = cursor.take().isName("else");
        return new Statement.For(line, target, items, test, body, hasElse ? block("endfor") : List.of());
    }

    private Statement set(int line) {
        Target target = target(true);
        if (cursor.takeOperator("=")) {
            return new Statement.Set(line, target, expressions.tuple(true));
        }
        List<FilterCall> filters = cursor.takeOperator("|") ? expressions.filterCalls() : List.of();
        return new Statement.SetBlock(line, target, filters, apart("endset"));
    }

    private Statement with() {
        List<Statement.Set> sets = new ArrayList<>();
        while (cursor.now().kind() != Kind.BLOCK_END && !cursor.now().isOperator(":")) {
            if (!sets.isEmpty()) {
                cursor.expectOperator(",");
            }
            int line = cursor.line();
            Target target = single(false);
            cursor.expectOperator("=");
            sets.add(new Statement.Set(line, target, expressions.expression()));
        }
        return new Statement.With(sets, block("endwith"));
    }

    private Macro macro(int line) {
        String name = assignable(cursor.expectName(), line);
        return macro(line, name, signature(), "endmacro");
    }

    private Statement call(int line) {
        List<Parameter> parameters = cursor.now().isOperator("(") ? signature() : List.of();
        if (!(expressions.expression() instanceof Expression.Call call)) {
            throw new TemplateFault(line, "expected the call of a macro after 'call'");
        }
        return new Statement.CallBlock(call, macro(line, "caller", parameters, "endcall"));
    }

    private Macro macro(int line, String name, List<Parameter> parameters, String end) {
        Set<String> around = new HashSet<>(expressions.specials());
        expressions.specials().clear();
        List<Statement> body = apart(end);
        Set<String> specials = Set.copyOf(expressions.specials());
        expressions.specials().addAll(around);
        return new Macro(line, name, parameters, body, specials);
    }

    private List<Parameter> signature() {
        List<Parameter> parameters = new ArrayList<>();
        boolean presets = false;
        cursor.expectOperator("(");
        while (!cursor.takeOperator(")")) {
            if (!parameters.isEmpty()) {
                cursor.expectOperator(",");
            }
            String name = assignable(cursor.expectName(), cursor.line());
            boolean preset = cursor.takeOperator("=");
            if (presets && !preset) {
                throw new TemplateFault(
                        cursor.line(), "the parameter '" + name + "' needs a default, for one before it has one");
            }
            presets = preset;
            parameters.add(new Parameter(name, preset ? Optional.of(expressions.expression()) : Optional.empty()));
        }
        return parameters;
    }

    /** Names with commas between, or one. */
    private Target target(boolean fields) {
        List<Target> parts = new ArrayList<>();
        boolean several = false;
        do {
            boolean ends = cursor.now().isName("in")
                    || cursor.now().isOperator("=")
                    || cursor.now().isOperator(")")
                    || cursor.now().kind() == Kind.BLOCK_END;
            if (!parts.isEmpty() && ends) {
                break;
            }
            parts.add(single(fields));
            several |= cursor.now().isOperator(",");
        } while (cursor.takeOperator(","));
        return several ? new Target.Several(parts) : parts.getFirst();
    }

    private Target single(boolean fields) {
        int line = cursor.line();
        if (cursor.takeOperator("(")) {
            cursor.enter();
            Target inner = target(fields);
            cursor.expectOperator(")");
            cursor.leave();
            return inner;
        }
        String name = assignable(cursor.expectName(), line);
        return fields && cursor.takeOperator(".")
                ? new Target.Field(name, cursor.expectName())
                : new Target.Variable(name);
    }

    private static String assignable(String name, int line) {
        if (CONSTANTS.contains(name)) {
            throw new TemplateFault(line, "'" + name + "' cannot be given a value");
        }
        return name;
    }
}
