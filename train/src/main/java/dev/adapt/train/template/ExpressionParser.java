package dev.adapt.train.template;

import dev.adapt.train.template.Expression.Inputs;
import dev.adapt.train.template.Expression.Link;
import dev.adapt.train.template.Expression.Pair;
import dev.adapt.train.template.Token.Kind;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Reads expressions, with the precedence of Jinja2: filters and tests bind tighter than any operator. */
final class ExpressionParser {
    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");
    private static final Set<String> SUMS = Set.of("+", "-");
    private static final Set<String> PRODUCTS = Set.of("*", "/", "//", "%");

    private final Cursor cursor;
    private final Set<String> specials = new HashSet<>();

    ExpressionParser(Cursor cursor) {
        this.cursor = cursor;
    }

    /** Which of the names of {@link Statement.Macro#SPECIALS} were read; a parser of macros empties it. */
    Set<String> specials() {
        return specials;
    }

    Expression expression() {
        cursor.enter();
        Expression result = disjunction();
        while (cursor.takeName("if")) {
            Expression test = disjunction();
            Optional<Expression> otherwise = cursor.takeName("else") ? Optional.of(expression()) : Optional.empty();
            result = new Expression.Conditional(test.line(), test, result, otherwise);
        }
        cursor.leave();
        return result;
    }

    /**
     * An expression, or a tuple without parentheses.
     *
     * @param conditional whether {@code x if y} may stand in it
     */
    Expression tuple(boolean conditional) {
        int line = cursor.line();
        List<Expression> parts = new ArrayList<>();
        boolean several = false;
        do {
            if (!parts.isEmpty() && endsTuple()) {
                break;
            }
            parts.add(conditional ? expression() : disjunction());
            several |= cursor.now().isOperator(",");
        } while (cursor.takeOperator(","));
        return several ? new Expression.Items(line, Value.Kind.TUPLE, parts) : parts.getFirst();
    }

    private boolean endsTuple() {
        Token now = cursor.now();
        return now.kind() == Kind.PRINT_END
                || now.kind() == Kind.BLOCK_END
                || now.isOperator(")")
                || now.isName("recursive");
    }

    Expression disjunction() {
        return logic(false);
    }

    private Expression logic(boolean and) {
        int line = cursor.line();
        List<Expression> parts = new ArrayList<>();
        do {
            parts.add(and ? negation() : logic(true));
        } while (cursor.takeName(and ? "and" : "or"));
        return parts.size() == 1 ? parts.getFirst() : new Expression.Logic(line, and, parts);
    }

    private Expression negation() {
        int line = cursor.line();
        if (!cursor.takeName("not")) {
            return comparison();
        }
        cursor.enter();
        Expression result = new Expression.Not(line, negation());
        cursor.leave();
        return result;
    }

    private Expression comparison() {
        int line = cursor.line();
        Expression first = sum();
        List<Link> links = new ArrayList<>();
        while (true) {
            if (cursor.now().kind() == Kind.OPERATOR
                    && COMPARISONS.contains(cursor.now().text())) {
                links.add(new Link(cursor.take().text(), sum()));
            } else if (cursor.takeName("in")) {
                links.add(new Link("in", sum()));
            } else if (cursor.now().isName("not") && cursor.ahead().isName("in")) {
                cursor.take();
                cursor.take();
                links.add(new Link("not in", sum()));
            } else {
                return links.isEmpty() ? first : new Expression.Comparison(line, first, links);
            }
        }
    }

    private Expression sum() {
        Expression left = concatenation();
        while (cursor.now().kind() == Kind.OPERATOR
                && SUMS.contains(cursor.now().text())) {
            Token operator = cursor.take();
            left = new Expression.Arithmetic(operator.line(), operator.text(), left, concatenation());
        }
        return left;
    }

    private Expression concatenation() {
        int line = cursor.line();
        List<Expression> parts = new ArrayList<>();
        do {
            parts.add(product());
        } while (cursor.takeOperator("~"));
        return parts.size() == 1 ? parts.getFirst() : new Expression.Concatenation(line, parts);
    }

    private Expression product() {
        Expression left = power();
        while (cursor.now().kind() == Kind.OPERATOR
                && PRODUCTS.contains(cursor.now().text())) {
            Token operator = cursor.take();
            left = new Expression.Arithmetic(operator.line(), operator.text(), left, power());
        }
        return left;
    }

    private Expression power() {
        Expression left = unary(true);
        while (cursor.now().isOperator("**")) {
            Token operator = cursor.take();
            left = new Expression.Arithmetic(operator.line(), operator.text(), left, unary(true));
        }
        return left;
    }

    private Expression unary(boolean filtered) {
        int line = cursor.line();
        Expression result;
        if (cursor.now().isOperator("-") || cursor.now().isOperator("+")) {
            cursor.enter();
            result = new Expression.Sign(line, cursor.take().isOperator("-"), unary(false));
            cursor.leave();
        } else {
            result = postfix(primary());
        }
        return filtered ? filters(result) : result;
    }

    private Expression primary() {
        int line = cursor.line();
        Token token = cursor.now();
        return switch (token.kind()) {
            case NAME -> name(cursor.take());
            case STRING -> {
                StringBuilder text = new StringBuilder();
                while (cursor.now().kind() == Kind.STRING) {
                    text.append(cursor.take().text());
                }
                yield new Expression.Literal(line, new Value.Text(text.toString()));
            }
            case INTEGER -> new Expression.Literal(line, integer(cursor.take()));
            case FLOAT ->
                new Expression.Literal(
                        line, new Value.Real(Double.parseDouble(cursor.take().text())));
            case OPERATOR -> enclosed(token);
            default -> throw cursor.unexpected("an expression");
        };
    }

    private Expression name(Token token) {
        Value constant = switch (token.text()) {
            case "true", "True" -> new Value.Bool(true);
            case "false", "False" -> new Value.Bool(false);
            case "none", "None" -> Value.None.NONE;
            default -> new Value.Undefined("'" + token.text() + "' is undefined");
        };
        if (!(constant instanceof Value.Undefined)) {
            return new Expression.Literal(token.line(), constant);
        }
        if (Statement.Macro.SPECIALS.contains(token.text())) {
            specials.add(token.text());
        }
        return new Expression.Name(token.line(), token.text());
    }

    private static Value integer(Token token) {
        String text = token.text();
        int radix = switch (text.length() > 1 ? Character.toLowerCase(text.charAt(1)) : ' ') {
            case 'x' -> 16;
            case 'o' -> 8;
            case 'b' -> 2;
            default -> 10;
        };
        if (text.length() > Budget.BITS / 4) {
            throw new TemplateFault(token.line(), "an integer has more than " + Budget.BITS / 4 + " digits");
        }
        return new Value.Int(new BigInteger(radix == 10 ? text : text.substring(2), radix));
    }

    private Expression enclosed(Token open) {
        int line = open.line();
        cursor.enter();
        Expression result;
        if (cursor.takeOperator("(")) {
            result = cursor.now().isOperator(")")
                    ? new Expression.Items(line, Value.Kind.TUPLE, List.of())
                    : tuple(true);
            cursor.expectOperator(")");
        } else if (cursor.takeOperator("[")) {
            List<Expression> items = new ArrayList<>();
            while (!cursor.now().isOperator("]")) {
                items.add(expression());
                if (!cursor.takeOperator(",")) {
                    break;
                }
            }
            cursor.expectOperator("]");
            result = new Expression.Items(line, Value.Kind.LIST, items);
        } else if (cursor.takeOperator("{")) {
            List<Pair> pairs = new ArrayList<>();
            while (!cursor.now().isOperator("}")) {
                Expression key = expression();
                cursor.expectOperator(":");
                pairs.add(new Pair(key, expression()));
                if (!cursor.takeOperator(",")) {
                    break;
                }
            }
            cursor.expectOperator("}");
            result = new Expression.Mapping(line, pairs);
        } else {
            throw cursor.unexpected("an expression");
        }
        cursor.leave();
        return result;
    }

    private Expression postfix(Expression start) {
        Expression result = start;
        while (true) {
            int line = cursor.line();
            if (cursor.takeOperator(".")) {
                result = cursor.now().kind() == Kind.INTEGER
                        ? new Expression.Subscript(line, result, new Expression.Literal(line, integer(cursor.take())))
                        : new Expression.Attribute(line, result, cursor.expectName());
            } else if (cursor.takeOperator("[")) {
                result = subscript(line, result);
            } else if (cursor.now().isOperator("(")) {
                result = new Expression.Call(line, result, inputs());
            } else {
                return result;
            }
        }
    }

    private Expression subscript(int line, Expression target) {
        Optional<Expression> from = bound();
        if (from.isPresent() && cursor.takeOperator("]")) {
            return new Expression.Subscript(line, target, from.orElseThrow());
        }
        if (cursor.now().isOperator(",")) {
            throw new TemplateFault(line, "more than one index in brackets is not supported");
        }
        cursor.expectOperator(":");
        Optional<Expression> to = bound();
        Optional<Expression> step = cursor.takeOperator(":") ? bound() : Optional.empty();
        cursor.expectOperator("]");
        return new Expression.Slice(line, target, from, to, step);
    }

    private Optional<Expression> bound() {
        return cursor.now().isOperator(":") || cursor.now().isOperator("]")
                ? Optional.empty()
                : Optional.of(expression());
    }

    private Expression filters(Expression start) {
        Expression result = start;
        while (true) {
            int line = cursor.line();
            if (cursor.takeOperator("|")) {
                String name = dotted();
                result = new Expression.Filter(line, result, name, optionalInputs());
            } else if (cursor.takeName("is")) {
                result = test(line, result);
            } else if (cursor.now().isOperator("(")) {
                result = new Expression.Call(line, result, inputs());
            } else {
                return result;
            }
        }
    }

    /** The filters of a block. */
    List<Statement.FilterCall> filterCalls() {
        List<Statement.FilterCall> calls = new ArrayList<>();
        do {
            int line = cursor.line();
            String name = dotted();
            calls.add(new Statement.FilterCall(line, name, optionalInputs()));
        } while (cursor.takeOperator("|"));
        return calls;
    }

    private Inputs optionalInputs() {
        return cursor.now().isOperator("(") ? inputs() : Inputs.NONE;
    }

    private String dotted() {
        StringBuilder name = new StringBuilder(cursor.expectName());
        while (cursor.takeOperator(".")) {
            name.append('.').append(cursor.expectName());
        }
        return name.toString();
    }

    private Expression test(int line, Expression input) {
        boolean negated = cursor.takeName("not");
        String name = dotted();
        Inputs inputs = Inputs.NONE;
        Token now = cursor.now();
        boolean word = now.kind() == Kind.NAME && !now.isName("else") && !now.isName("or") && !now.isName("and");
        boolean literal = now.kind() == Kind.STRING || now.kind() == Kind.INTEGER || now.kind() == Kind.FLOAT;
        if (now.isOperator("(")) {
            inputs = inputs();
        } else if (now.isName("is")) {
            throw new TemplateFault(line, "a test ('is') cannot follow another without parentheses");
        } else if (word || literal || now.isOperator("[") || now.isOperator("{")) {
            inputs = new Inputs(List.of(postfix(primary())), Map.of(), Optional.empty(), Optional.empty());
        }
        Expression result = new Expression.Test(line, input, name, inputs);
        return negated ? new Expression.Not(line, result) : result;
    }

    /** What stands between parentheses, with them. */
    Inputs inputs() {
        cursor.enter();
        cursor.expectOperator("(");
        List<Expression> positional = new ArrayList<>();
        Map<String, Expression> named = new LinkedHashMap<>();
        Optional<Expression> list = Optional.empty();
        Optional<Expression> dict = Optional.empty();
        while (!cursor.now().isOperator(")")) {
            if (list.isEmpty() && dict.isEmpty() && cursor.takeOperator("*")) {
                list = Optional.of(expression());
            } else if (dict.isEmpty() && cursor.takeOperator("**")) {
                dict = Optional.of(expression());
            } else if (cursor.now().kind() == Kind.NAME && cursor.ahead().isOperator("=")) {
                Token key = cursor.take();
                cursor.take();
                if (named.containsKey(key.text())) {
                    throw new TemplateFault(key.line(), "the argument '" + key.text() + "' is given twice");
                }
                named.put(key.text(), expression());
            } else if (named.isEmpty() && list.isEmpty() && dict.isEmpty()) {
                positional.add(expression());
            } else {
                throw cursor.unexpected("an argument with a name");
            }
            if (!cursor.takeOperator(",")) {
                break;
            }
        }
        cursor.expectOperator(")");
        cursor.leave();
        return new Inputs(positional, named, list, dict);
    }
}
