package dev.adapt.formats.names;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiPredicate;
import java.util.function.UnaryOperator;

/**
 * How someone else spells a checkpoint's names: as its family does, or with one prefix in the place of another.
 *
 * @param names the checkpoint's
 * @param from a prefix, empty or with its dot
 * @param to what stands in its place, in canonical names
 */
public record Spelling(TensorNames names, String from, String to) implements UnaryOperator<String> {
    /** The spelling of the checkpoint's own family. */
    public static Spelling usual(TensorNames names) {
        return new Spelling(names, "", "");
    }

    /**
     * The spelling that gives all modules a place in the checkpoint: the family's own, or, if it does not, the only one prefix
     * for another that does. What is numbered keeps its number, and the list it is numbered in its name.
     *
     * @param fits whether the module of someone else can be a module of the checkpoint, by its canonical name
     * @return empty if there is none, or several that differ
     */
    public static Optional<Spelling> of(
            TensorNames names, Collection<String> modules, BiPredicate<String, String> fits) {
        Spelling usual = usual(names);
        if (usual.places(modules, (spelled, canonical) -> true)) {
            return Optional.of(usual);
        }
        String first = names.canonical(modules.iterator().next());
        Set<Spelling> candidates = new LinkedHashSet<>();
        for (String module : names.matrices()) {
            candidate(names, first, module).ifPresent(candidates::add);
        }
        List<Spelling> placing = candidates.stream()
                .filter(candidate -> candidate.places(modules, fits))
                .toList();
        return placing.size() == 1 ? Optional.of(placing.getFirst()) : Optional.empty();
    }

    private boolean places(Collection<String> modules, BiPredicate<String, String> fits) {
        Set<String> found = new LinkedHashSet<>();
        for (String module : modules) {
            String canonical = apply(module);
            boolean starts = names.canonical(module).startsWith(from);
            if (!starts
                    || names.places(canonical).isEmpty()
                    || !fits.test(module, canonical)
                    || !found.add(canonical)) {
                return false;
            }
        }
        return true;
    }

    /** The change of prefix that makes one name the other, if what is left after the prefixes has all their numbers. */
    private static Optional<Spelling> candidate(TensorNames names, String spelled, String module) {
        int common = 0;
        while (common < spelled.length()
                && common < module.length()
                && spelled.charAt(spelled.length() - 1 - common) == module.charAt(module.length() - 1 - common)) {
            common++;
        }
        int start = boundary(spelled, module, common);
        String from = spelled.substring(0, spelled.length() - start);
        String to = module.substring(0, module.length() - start);
        boolean whole = start > 0 && !hasNumber(from) && !hasNumber(to) && !beginsWithNumber(spelled, from);
        return whole ? Optional.of(new Spelling(names, from, to)) : Optional.empty();
    }

    /** The length of the longest common end that begins after a dot, or is a whole name, in both. */
    private static int boundary(String spelled, String module, int common) {
        for (int length = common; length > 0; length--) {
            if (isStart(spelled, spelled.length() - length) && isStart(module, module.length() - length)) {
                return length;
            }
        }
        return 0;
    }

    private static boolean isStart(String name, int at) {
        return at == 0 || name.charAt(at - 1) == '.';
    }

    private static boolean hasNumber(String prefix) {
        return TensorNames.isNumbered(prefix);
    }

    private static boolean beginsWithNumber(String name, String prefix) {
        return name.length() > prefix.length() && Character.isDigit(name.charAt(prefix.length()));
    }

    /** The canonical name of a module or tensor. */
    @Override
    public String apply(String name) {
        String canonical = names.canonical(name);
        return canonical.startsWith(from) ? to + canonical.substring(from.length()) : canonical;
    }
}
