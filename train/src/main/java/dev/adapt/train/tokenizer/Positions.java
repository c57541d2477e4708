package dev.adapt.train.tokenizer;

import dev.adapt.train.tokenizer.RegexNode.Assertion;
import dev.adapt.train.tokenizer.RegexNode.Choice;
import dev.adapt.train.tokenizer.RegexNode.Repeat;
import dev.adapt.train.tokenizer.RegexNode.Sequence;
import dev.adapt.train.tokenizer.RegexNode.Symbol;
import dev.adapt.train.tokenizer.RegexParser.RefusedException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Glushkov's automaton of a pattern: a position for each character that it writes, and for each two positions the number
 * of ways (1, or 2 for more) in which a matcher gets from the one to the next. Assertions count as if they held.
 */
final class Positions {
    private static final int MOST = 1500;

    /** Repeats up to this are written out; longer ones are taken for loops. */
    private static final int WRITTEN_OUT = 8;

    /**
     * A part of the pattern.
     *
     * @param first positions it can begin with, and in how many ways
     * @param last positions it can end with, and in how many ways
     * @param empty ways to match nothing
     * @param free positions after which it can end whatever follows: without an assertion
     * @param freelyEmpty whether it can match nothing without an assertion
     */
    private record Part(
            Map<Integer, Integer> first, Map<Integer, Integer> last, int empty, BitSet free, boolean freelyEmpty) {
        static final Part EMPTY = new Part(Map.of(), Map.of(), 1, new BitSet(), true);
        static final Part ASSERTION = new Part(Map.of(), Map.of(), 1, new BitSet(), false);
    }

    private final List<Integer> sets = new ArrayList<>();
    private final List<Map<Integer, Integer>> next = new ArrayList<>();
    private final Part whole;

    Positions(RegexNode pattern) {
        this.whole = part(pattern);
    }

    int count() {
        return sets.size();
    }

    /** The number of the set of characters that a position matches. */
    int set(int position) {
        return sets.get(position);
    }

    /** The positions that can follow, and in how many ways. */
    Map<Integer, Integer> next(int position) {
        return next.get(position);
    }

    Map<Integer, Integer> first() {
        return whole.first();
    }

    /** Whether the whole pattern may end here, whatever follows. */
    boolean mayEnd(int position) {
        return whole.free().get(position);
    }

    private Part part(RegexNode node) {
        return switch (node) {
            case Symbol(int set) -> symbol(set);
            case Assertion assertion -> Part.ASSERTION;
            case Sequence(List<RegexNode> parts) -> {
                Part sequence = Part.EMPTY;
                for (RegexNode part : parts) {
                    sequence = then(sequence, part(part));
                }
                yield sequence;
            }
            case Choice(List<RegexNode> options) -> {
                Part choice = part(options.getFirst());
                for (RegexNode option : options.subList(1, options.size())) {
                    choice = or(choice, part(option));
                }
                yield choice;
            }
            case Repeat(RegexNode body, int least, int most) -> repeat(body, least, most);
        };
    }

    private Part symbol(int set) {
        int position = sets.size();
        if (position == MOST) {
            throw new RefusedException("has more than " + MOST + " characters when its repeats are written out");
        }
        sets.add(set);
        next.add(new TreeMap<>());
        BitSet free = new BitSet();
        free.set(position);
        return new Part(Map.of(position, 1), Map.of(position, 1), 0, free, false);
    }

    private Part repeat(RegexNode body, int least, int most) {
        if (least > WRITTEN_OUT) {
            // the match may end only after the last of them
            Part loop = loop(body, 1);
            return then(new Part(loop.first(), loop.last(), loop.empty(), new BitSet(), false), part(body));
        }
        if (most > WRITTEN_OUT || most == RegexNode.UNBOUNDED) {
            Part all = loop(body, least);
            for (int i = 1; i < least; i++) {
                all = then(part(body), all);
            }
            return all;
        }
        // x{1,3} is x(x(x)?)?
        Part optional = Part.EMPTY;
        for (int i = least; i < most; i++) {
            Part once = then(part(body), optional);
            optional = new Part(once.first(), once.last(), Math.min(2, once.empty() + 1), once.free(), true);
        }
        Part all = optional;
        for (int i = 0; i < least; i++) {
            all = then(part(body), all);
        }
        return all;
    }

    private Part loop(RegexNode body, int least) {
        Part loop = part(body);
        connect(loop.last(), loop.first());
        return new Part(
                loop.first(),
                loop.last(),
                least == 0 ? 1 : loop.empty(),
                loop.free(),
                least == 0 || loop.freelyEmpty());
    }

    private Part then(Part left, Part right) {
        connect(left.last(), right.first());
        BitSet free = (BitSet) right.free().clone();
        if (right.freelyEmpty()) {
            free.or(left.free());
        }
        return new Part(
                left.empty() == 0 ? left.first() : sum(left.first(), right.first(), left.empty()),
                right.empty() == 0 ? right.last() : sum(right.last(), left.last(), right.empty()),
                Math.min(2, left.empty() * right.empty()),
                free,
                left.freelyEmpty() && right.freelyEmpty());
    }

    private static Part or(Part left, Part right) {
        BitSet free = (BitSet) left.free().clone();
        free.or(right.free());
        return new Part(
                sum(left.first(), right.first(), 1),
                sum(left.last(), right.last(), 1),
                Math.min(2, left.empty() + right.empty()),
                free,
                left.freelyEmpty() || right.freelyEmpty());
    }

    private static Map<Integer, Integer> sum(Map<Integer, Integer> left, Map<Integer, Integer> right, int times) {
        Map<Integer, Integer> sum = new TreeMap<>(left);
        right.forEach((position, ways) -> sum.merge(position, Math.min(2, ways * times), (a, b) -> 2));
        return sum;
    }

    private void connect(Map<Integer, Integer> from, Map<Integer, Integer> to) {
        from.forEach((position, ways) ->
                to.forEach((target, more) -> next.get(position).merge(target, Math.min(2, ways * more), (a, b) -> 2)));
    }
}
