package dev.adapt.train.tokenizer;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * The character sets of one pattern. They are reduced to atoms: groups of characters that no set of the pattern tells apart.
 * A set that Java does not know counts as all characters, so that it overlaps with everything.
 */
final class Alphabet {
    private static final int SURROGATES = 0xd800;
    private static final int AFTER_SURROGATES = 0xe000;
    private static final int PRIME_STEP = 257;

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
        String characters = characters();
        int count = characters.codePointCount(0, characters.length());
        List<BitSet> members = new ArrayList<>();
        sets.keySet().forEach(set -> members.add(members(set, characters, count)));
        int[] atomOf = new int[count];
        for (BitSet set : members) {
            Map<Long, Integer> split = new HashMap<>();
            for (int i = 0; i < count; i++) {
                long signature = 2L * atomOf[i] + (set.get(i) ? 1 : 0);
                atomOf[i] = split.computeIfAbsent(signature, absent -> split.size());
            }
        }
        return members.stream()
                .map(set -> {
                    BitSet atoms = new BitSet();
                    set.stream().forEach(i -> atoms.set(atomOf[i]));
                    return atoms;
                })
                .toList();
    }

    /** The Basic Multilingual Plane, and some of what is beyond. */
    private static String characters() {
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
            Matcher matcher = Pattern.compile(set.source(), flags).matcher(characters);
            int end = 0;
            int index = 0;
            while (matcher.find()) {
                if (matcher.end() == matcher.start()
                        || characters.codePointCount(matcher.start(), matcher.end()) != 1) {
                    members.clear(); // no set of single characters
                    break;
                }
                index += characters.codePointCount(end, matcher.start());
                members.set(index++);
                end = matcher.end();
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
