package dev.adapt.train.tokenizer;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;

/**
 * The character sets of one pattern. They are reduced to atoms: groups of characters that no set of the pattern tells apart.
 * A set that Java does not know counts as all characters, so that it overlaps with everything.
 */
final class Alphabet {
    private static final int SURROGATES = 0xd800;
    private static final int AFTER_SURROGATES = 0xe000;
    private static final int PRIME_STEP = 257;

    private static final String CHARACTERS = allCharacters();

    private record CharacterSet(String source, boolean ignoreCase) {}

    private final Map<CharacterSet, Integer> sets = new LinkedHashMap<>();

    /**
     * The number of a set.
     *
     * @param source a class in brackets or an escape, in Java's syntax
     */
    int set(String source, boolean ignoreCase) {
        return sets.computeIfAbsent(new CharacterSet(source, ignoreCase), absent -> sets.size());
    }

    /** The number of the set that holds one character, and its other case where that is ignored. */
    int literal(int codePoint, boolean ignoreCase) {
        return set(String.format(Locale.ROOT, "\\x{%x}", codePoint), ignoreCase);
    }

    /** The atoms of each set, by its number. */
    List<BitSet> atoms() {
        String characters = CHARACTERS;
        int count = characters.codePointCount(0, characters.length());
        List<BitSet> members = sets.keySet().stream()
                .map(set -> members(set, characters, count))
                .toList();
        BitSet all = new BitSet();
        all.set(0, count);
        List<BitSet> groups = List.of(all);
        for (BitSet set : members) {
            groups = groups.stream()
                    .flatMap(group -> Stream.of(common(group, set), without(group, set)))
                    .filter(group -> !group.isEmpty())
                    .toList();
        }
        List<BitSet> atoms = new ArrayList<>();
        for (BitSet set : members) {
            BitSet own = new BitSet();
            for (int atom = 0; atom < groups.size(); atom++) {
                own.set(atom, groups.get(atom).intersects(set));
            }
            atoms.add(own);
        }
        return atoms;
    }

    private static BitSet common(BitSet group, BitSet set) {
        BitSet common = (BitSet) group.clone();
        common.and(set);
        return common;
    }

    private static BitSet without(BitSet group, BitSet set) {
        BitSet rest = (BitSet) group.clone();
        rest.andNot(set);
        return rest;
    }

    /** The Basic Multilingual Plane, and some of what is beyond. */
    private static String allCharacters() {
        StringBuilder all = new StringBuilder();
        for (int c = 0;
                c <= Character.MAX_CODE_POINT;
                c += c < Character.MIN_SUPPLEMENTARY_CODE_POINT ? 1 : PRIME_STEP) {
            if (c < SURROGATES || c >= AFTER_SURROGATES) {
                all.appendCodePoint(c);
            }
        }
        return all.toString();
    }

    private static BitSet members(CharacterSet set, String characters, int count) {
        BitSet members = new BitSet(count);
        try {
            int flags = Pattern.UNICODE_CHARACTER_CLASS
                    | Pattern.DOTALL
                    | (set.ignoreCase() ? Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE : 0);
            Matcher runs = Pattern.compile("(?:" + set.source() + ")+", flags).matcher(characters);
            int end = 0;
            int index = 0;
            while (runs.find()) {
                if (runs.end() == runs.start()) {
                    members.clear(); // no set of characters
                    break;
                }
                index += characters.codePointCount(end, runs.start());
                end = runs.end();
                int next = index + characters.codePointCount(runs.start(), end);
                members.set(index, next);
                index = next;
            }
        } catch (PatternSyntaxException e) {
            members.clear();
        }
        if (members.isEmpty()) {
            members.set(0, count);
        }
        return members;
    }
}
