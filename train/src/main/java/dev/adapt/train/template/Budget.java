package dev.adapt.train.template;

import java.util.Locale;

/**
 * What one rendering may cost. A template comes from a stranger: each limit ends it with a sentence, and is checked
 * before memory is taken.
 */
final class Budget {
    /** Characters of a template. */
    static final int SOURCE = 1 << 20;

    /** Blocks, parentheses and the like inside each other in a template. */
    static final int NESTING = 100;

    /** Characters of the output and of every other text. */
    static final int TEXT = 1 << 22;

    /** Items of a list, a dict or a range; Jinja2's sandbox allows ranges the same. */
    static final int ITEMS = 100_000;

    /** Expressions, blocks and macros under evaluation inside each other. */
    static final int DEPTH = 300;

    /** Bits of an integer. */
    static final int BITS = 4096;

    private static final long STEPS = 5_000_000;
    private static final int CHARACTERS_A_STEP = 8;
    private static final int STEPS_AN_ITEM = 4;

    private long steps;
    private int depth;

    /** Counts an evaluation that may hold others; {@link #leave} ends it. */
    void enter() {
        spend(1);
        if (++depth > DEPTH) {
            throw new TemplateFault("it evaluates more than " + DEPTH + " expressions inside each other");
        }
    }

    void leave() {
        depth--;
    }

    /** Counts a search through {@code characters} of text. */
    void read(long characters) {
        spend(characters / CHARACTERS_A_STEP + 1);
    }

    /** Counts {@code added} characters of a text that will have {@code whole}. */
    void write(long added, long whole) {
        if (whole > TEXT) {
            throw new TemplateFault("it makes a text of more than " + count(TEXT) + " characters");
        }
        read(added);
    }

    /** Counts {@code added} items of a list or dict that will have {@code whole}. */
    void items(long added, long whole) {
        if (whole > ITEMS) {
            throw new TemplateFault("it makes a list of more than " + count(ITEMS) + " items");
        }
        spend(added * STEPS_AN_ITEM + 1);
    }

    private void spend(long more) {
        steps += more;
        if (steps > STEPS) {
            throw new TemplateFault("it takes more than " + count(STEPS) + " steps");
        }
    }

    static String count(long number) {
        return String.format(Locale.ROOT, "%,d", number);
    }
}
