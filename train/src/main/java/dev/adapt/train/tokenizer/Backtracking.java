package dev.adapt.train.tokenizer;

import dev.adapt.train.tokenizer.RegexNode.Assertion;
import dev.adapt.train.tokenizer.RegexNode.Choice;
import dev.adapt.train.tokenizer.RegexNode.Repeat;
import dev.adapt.train.tokenizer.RegexNode.Sequence;
import dev.adapt.train.tokenizer.RegexNode.Symbol;
import dev.adapt.train.tokenizer.RegexParser.RefusedException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * Whether a backtracking matcher may need more than linearly many tries for a match. Hugging Face's tokenizers end the
 * process when a match needs more than 10,000,000.
 *
 * <p>A matcher tries again as often as the pattern's automaton has paths for one text. A path over a position where the
 * match may end succeeds, so only paths that avoid those count. Their number grows exponentially with the text if a
 * position leads back to itself in two ways for one text; as a power of its length if two loops, one after the other, can
 * both read one text (Weber and Seidl, On the degree of ambiguity of finite automata, 1991). Without loops it is bounded
 * by the choices between overlapping characters.
 */
final class Backtracking {
    private static final int MOST_CHARACTERS = 10_000;
    private static final int MOST_WORK = 1_000_000;
    private static final double MOST_PATHS = 10_000;

    private final Positions positions;
    private final List<BitSet> atoms;
    private final int[] component;
    private int work;

    private Backtracking(Positions positions, List<BitSet> atoms) {
        this.positions = positions;
        this.atoms = atoms;
        this.component = new Components(positions.count(), this::successors).of();
    }

    /** Why a pattern is not safe to match, to follow "the pattern" in a sentence; empty where it is. */
    static Optional<String> fault(String pattern) {
        if (pattern.length() > MOST_CHARACTERS) {
            return Optional.of("is longer than " + MOST_CHARACTERS + " characters");
        }
        try {
            Alphabet alphabet = new Alphabet();
            RegexNode node = new RegexParser(pattern, alphabet).parse();
            List<BitSet> atoms = alphabet.atoms();
            requireCheapAssertions(node, false);
            check(node, atoms);
            return Optional.empty();
        } catch (RefusedException e) {
            return Optional.ofNullable(e.getMessage());
        }
    }

    /** Checks a pattern, and those that its assertions hold. */
    private static void check(RegexNode node, List<BitSet> atoms) {
        Backtracking own = new Backtracking(new Positions(node), atoms);
        own.requireNoRepeatedLoop();
        own.requireNoTwinLoops();
        own.requireFewPaths();
        assertions(node).forEach(inner -> check(inner, atoms));
    }

    private static List<RegexNode> assertions(RegexNode node) {
        return switch (node) {
            case Symbol symbol -> List.of();
            case Assertion(RegexNode body) -> List.of(body);
            case Repeat(RegexNode body, int least, int most) -> assertions(body);
            case Sequence(List<RegexNode> parts) ->
                parts.stream().flatMap(part -> assertions(part).stream()).toList();
            case Choice(List<RegexNode> options) ->
                options.stream().flatMap(option -> assertions(option).stream()).toList();
        };
    }

    /** An assertion that loops costs the length of the text; in a loop, or behind one, it is asked as often again. */
    private static void requireCheapAssertions(RegexNode node, boolean afterLoop) {
        switch (node) {
            case Symbol symbol -> {}
            case Assertion(RegexNode body) -> {
                if (afterLoop && body.loops()) {
                    throw new RefusedException("asks in a loop, or behind one, for something that loops too");
                }
                requireCheapAssertions(body, afterLoop);
            }
            case Repeat(RegexNode body, int least, int most) ->
                requireCheapAssertions(body, afterLoop || most == RegexNode.UNBOUNDED || most > 1);
            case Sequence(List<RegexNode> parts) -> {
                boolean after = afterLoop;
                for (RegexNode part : parts) {
                    requireCheapAssertions(part, after);
                    after |= part.loops();
                }
            }
            case Choice(List<RegexNode> options) ->
                options.forEach(option -> requireCheapAssertions(option, afterLoop));
        }
    }

    /** Those that follow a position, as far as a match may still fail there. */
    private List<Integer> successors(int position) {
        if (positions.mayEnd(position)) {
            return List.of();
        }
        return positions.next(position).keySet().stream()
                .filter(next -> !positions.mayEnd(next))
                .toList();
    }

    private BitSet atoms(int position) {
        return atoms.get(positions.set(position));
    }

    private void count() {
        if (++work > MOST_WORK) {
            throw new RefusedException("is too complex to be checked");
        }
    }

    private record Pair(int left, int right) {}

    private record Triple(int left, int middle, int right) {}

    /** Exponentially many paths: from a position two different ones lead back to it over the same text. */
    private void requireNoRepeatedLoop() {
        for (int position = 0; position < positions.count(); position++) {
            for (int next : successors(position)) {
                boolean twice = positions.next(position).getOrDefault(next, 0) > 1;
                if (twice && component[position] == component[next]) {
                    throw exponential();
                }
            }
        }
        for (int position = 0; position < positions.count(); position++) {
            // pairs that the position leads to, and of them one that leads back
            if (returns(position)) {
                throw exponential();
            }
        }
    }

    private static RefusedException exponential() {
        return new RefusedException(
                "repeats what repeats, or choices that overlap: the time to match grows exponentially"
                        + " with a text");
    }

    private boolean returns(int start) {
        Set<Pair> seen = new HashSet<>();
        Deque<Pair> open = new ArrayDeque<>(List.of(new Pair(start, start)));
        while (!open.isEmpty()) {
            Pair pair = open.pop();
            for (int left : inside(pair.left())) {
                for (int right : inside(pair.right())) {
                    count();
                    if (left == right) {
                        if (pair.left() != pair.right()) {
                            return true; // and on, for this is the same loop
                        }
                        continue; // another start looks from there
                    }
                    Pair next = new Pair(left, right);
                    if (atoms(left).intersects(atoms(right)) && seen.add(next)) {
                        open.push(next);
                    }
                }
            }
        }
        return false;
    }

    /** Successors on a loop with the position. */
    private List<Integer> inside(int position) {
        return successors(position).stream()
                .filter(next -> component[next] == component[position])
                .toList();
    }

    /** Polynomially many paths: two loops, the second behind the first, that can read the same text. */
    private void requireNoTwinLoops() {
        List<Integer> looping = new ArrayList<>();
        for (int position = 0; position < positions.count(); position++) {
            if (!inside(position).isEmpty()) {
                looping.add(position);
            }
        }
        for (int first : looping) {
            BitSet behind = behind(first);
            for (int second : looping) {
                if (behind.get(second) && component[second] != component[first] && twins(first, second)) {
                    throw new RefusedException(
                            "has two loops behind one another that take the same characters: the time"
                                    + " to match grows with a power of the length of a text");
                }
            }
        }
    }

    private BitSet behind(int start) {
        BitSet seen = new BitSet();
        Deque<Integer> open = new ArrayDeque<>(List.of(start));
        while (!open.isEmpty()) {
            for (int next : successors(open.pop())) {
                count();
                if (!seen.get(next)) {
                    seen.set(next);
                    open.push(next);
                }
            }
        }
        return seen;
    }

    /** Whether one text leads from the first back to it, from the first to the second, and from the second back to it. */
    private boolean twins(int first, int second) {
        Set<Triple> seen = new HashSet<>();
        Deque<Triple> open = new ArrayDeque<>(List.of(new Triple(first, first, second)));
        while (!open.isEmpty()) {
            Triple triple = open.pop();
            for (int left : inside(triple.left())) {
                for (int right : inside(triple.right())) {
                    BitSet common = (BitSet) atoms(left).clone();
                    common.and(atoms(right));
                    for (int middle : successors(triple.middle())) {
                        count();
                        if (!common.intersects(atoms(middle))) {
                            continue;
                        }
                        if (left == first && middle == second && right == second) {
                            return true;
                        }
                        Triple next = new Triple(left, middle, right);
                        if (seen.add(next)) {
                            open.push(next);
                        }
                    }
                }
            }
        }
        return false;
    }

    /** Paths without loops: at each position as many as the characters that most of its successors share lead to. */
    private void requireFewPaths() {
        double[] paths = new double[positions.count()];
        Arrays.setAll(paths, position -> positions.mayEnd(position) ? 1 : 0);
        // components are numbered from the end of the pattern to its beginning
        Map<Integer, List<Integer>> members = new TreeMap<>();
        for (int position = 0; position < component.length; position++) {
            members.computeIfAbsent(component[position], absent -> new ArrayList<>())
                    .add(position);
        }
        for (List<Integer> own : members.values()) {
            double most = 0;
            for (int position : own) {
                most = Math.max(most, shared(positions.next(position), paths, component[position]));
            }
            requireFew(most);
            for (int position : own) {
                paths[position] = positions.mayEnd(position) ? 1 : 1 + most;
            }
        }
        requireFew(shared(positions.first(), paths, -1));
    }

    private static void requireFew(double paths) {
        if (paths > MOST_PATHS) {
            throw new RefusedException("has too many choices that overlap: there are more than " + (int) MOST_PATHS
                    + " ways to match one text");
        }
    }

    private double shared(Map<Integer, Integer> next, double[] paths, int loop) {
        Map<Integer, Double> byAtom = new HashMap<>();
        next.forEach((position, ways) -> {
            if (loop < 0 || component[position] != loop) {
                atoms(position).stream().forEach(atom -> {
                    count();
                    byAtom.merge(atom, ways * paths[position], Double::sum);
                });
            }
        });
        return byAtom.values().stream().mapToDouble(Double::doubleValue).max().orElse(0);
    }
}
