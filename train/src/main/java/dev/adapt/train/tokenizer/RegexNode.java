package dev.adapt.train.tokenizer;

import java.util.List;

/** A regular expression, as far as it decides how often a backtracking matcher can try. */
sealed interface RegexNode {
    /** What {@link Repeat#most()} is where there is no limit. */
    int UNBOUNDED = -1;

    /** One character of a set, by its number in the pattern's {@link Alphabet}. */
    record Symbol(int set) implements RegexNode {}

    /** One after the other. */
    record Sequence(List<RegexNode> parts) implements RegexNode {
        public Sequence {
            parts = List.copyOf(parts);
        }
    }

    /** One of several. */
    record Choice(List<RegexNode> options) implements RegexNode {
        public Choice {
            options = List.copyOf(options);
        }
    }

    /** As often as from {@code least} to {@code most}. */
    record Repeat(RegexNode body, int least, int most) implements RegexNode {}

    /** Consumes nothing and can fail: an anchor, where {@code body} is empty, or a lookahead or lookbehind. */
    record Assertion(RegexNode body) implements RegexNode {}

    /** Whether something in it repeats without limit. */
    default boolean loops() {
        return switch (this) {
            case Symbol symbol -> false;
            case Sequence(List<RegexNode> parts) -> parts.stream().anyMatch(RegexNode::loops);
            case Choice(List<RegexNode> options) -> options.stream().anyMatch(RegexNode::loops);
            case Repeat(RegexNode body, int least, int most) -> most == UNBOUNDED || body.loops();
            case Assertion(RegexNode body) -> body.loops();
        };
    }
}
