package dev.adapt.train.template;

/**
 * The smallest part of a template that has a meaning.
 *
 * @param text what it says: of a string its content, of all others as they stand
 * @param line counted from 1
 */
record Token(Kind kind, String text, int line) {
    enum Kind {
        DATA,
        PRINT_BEGIN,
        PRINT_END,
        BLOCK_BEGIN,
        BLOCK_END,
        NAME,
        STRING,
        INTEGER,
        FLOAT,
        OPERATOR,
        END
    }

    boolean isName(String name) {
        return kind == Kind.NAME && text.equals(name);
    }

    boolean isOperator(String operator) {
        return kind == Kind.OPERATOR && text.equals(operator);
    }

    /** For messages. */
    String described() {
        return switch (kind) {
            case DATA -> "text";
            case PRINT_BEGIN -> "'{{'";
            case PRINT_END -> "'}}'";
            case BLOCK_BEGIN -> "'{%'";
            case BLOCK_END -> "'%}'";
            case END -> "the end of the template";
            default -> "'" + text + "'";
        };
    }
}
