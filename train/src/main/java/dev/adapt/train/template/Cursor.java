package dev.adapt.train.template;

import dev.adapt.train.template.Token.Kind;
import java.util.List;

/** A place among tokens, and how deep the parser is in what it has begun. */
final class Cursor {
    private final List<Token> tokens;
    private int at;
    private int depth;

    Cursor(List<Token> tokens) {
        this.tokens = tokens;
    }

    Token now() {
        return tokens.get(at);
    }

    Token ahead() {
        return tokens.get(Math.min(at + 1, tokens.size() - 1));
    }

    int line() {
        return now().line();
    }

    Token take() {
        Token token = now();
        if (token.kind() != Kind.END) {
            at++;
        }
        return token;
    }

    boolean takeName(String name) {
        boolean there = now().isName(name);
        if (there) {
            at++;
        }
        return there;
    }

    boolean takeOperator(String operator) {
        boolean there = now().isOperator(operator);
        if (there) {
            at++;
        }
        return there;
    }

    Token expect(Kind kind, String described) {
        if (now().kind() != kind) {
            throw unexpected(described);
        }
        return take();
    }

    String expectName() {
        return expect(Kind.NAME, "a name").text();
    }

    void expectOperator(String operator) {
        if (!takeOperator(operator)) {
            throw unexpected("'" + operator + "'");
        }
    }

    TemplateFault unexpected(String expected) {
        return new TemplateFault(line(), "expected " + expected + " and found " + now().described());
    }

    /** Begins what may hold itself; {@link #leave} ends it. */
    void enter() {
        if (++depth > Budget.NESTING) {
            throw new TemplateFault(
                    line(), "more than " + Budget.NESTING + " blocks or expressions stand inside each other");
        }
    }

    void leave() {
        depth--;
    }
}
