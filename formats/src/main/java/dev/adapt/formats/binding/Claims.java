package dev.adapt.formats.binding;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.method.TargetModules;
import dev.adapt.formats.names.TensorNames;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/**
 * The modules of a base that an adapter's config says are adapted and its file lacks. PEFT would leave them untrained and
 * go on.
 *
 * <p>The config speaks the adapter's names, the base may have others. How the adapter would call a module is told by the
 * modules its file does hold: by the same module of another layer, by the prefix they share, or by their neighbours.
 */
record Claims(Adapter adapter, Set<String> body, UnaryOperator<String> canonical) {
    /** Names that are looked for in the base: several times those of the largest models. */
    private static final long MOST_CANDIDATES = 2_000_000;

    private static final Pattern NUMBER = Pattern.compile("\\d+");
    private static final Pattern EXPERT = Pattern.compile("\\.experts\\.(\\d+|#)\\.");
    private static final Pattern LAYER = Pattern.compile("(?<=\\.)\\d+(?=\\.)");

    /** Those modules, as the adapter would call them, in the base's order. */
    List<String> missing() {
        if (!adapter.config().document().says("target_modules")) {
            return List.of();
        }
        TargetModules targets = adapter.config().targetModules();
        Set<String> held = new LinkedHashSet<>();
        adapter.modules().forEach(module -> held.add(canonical.apply(module)));
        // modules_to_save may spell a module in another way than the base, or than the expressions of target_modules
        adapter.saved().keySet().forEach(tensor -> held.add(canonical.apply(TensorNames.module(tensor))));
        if (held.containsAll(body)) {
            return List.of();
        }
        Map<String, String> missing = new LinkedHashMap<>();
        for (String name : candidates()) {
            String own = canonical.apply(name);
            if (body.contains(own) && !held.contains(own) && targets.claims(name)) {
                missing.putIfAbsent(own, name);
            }
        }
        return body.stream().filter(missing::containsKey).map(missing::get).toList();
    }

    private List<String> candidates() {
        Map<String, String> byKind = new LinkedHashMap<>();
        Set<String> prefixes = new LinkedHashSet<>();
        for (String module : adapter.modules()) {
            String own = canonical.apply(module);
            byKind.putIfAbsent(kind(own), module);
            if (module.endsWith(own)) {
                prefixes.add(module.substring(0, module.length() - own.length()));
            }
        }
        List<String> candidates = new ArrayList<>();
        for (String own : body) {
            String sibling = byKind.get(kind(own));
            if (sibling != null) {
                candidates.add(numbered(sibling, own));
            }
            prefixes.forEach(prefix -> candidates.add(prefix + own));
        }
        // target_modules may list a module that the file lacks in every layer: each entry is tried beside the held
        // modules
        Set<String> entries =
                new LinkedHashSet<>(adapter.config().targetModules().names());
        Set<String> parents = new LinkedHashSet<>();
        adapter.modules().forEach(module -> parents.add(module.substring(0, module.lastIndexOf('.') + 1)));
        if ((long) entries.size() * parents.size() > MOST_CANDIDATES) {
            throw new FormatException(
                    adapter.config().path(),
                    "target_modules",
                    "lists " + entries.size() + " modules, too many to look for in " + parents.size()
                            + " places; name modules by their last words, such as \"query\"");
        }
        for (String entry : entries) {
            parents.forEach(parent -> candidates.add(parent + entry));
        }
        return candidates;
    }

    /** The list of layers that a module is in: its name before the first number. */
    static Optional<String> list(String module) {
        var number = LAYER.matcher("." + module);
        return number.find() ? Optional.of(module.substring(0, number.start() - 1)) : Optional.empty();
    }

    /** Whether a module is one of a layer's experts. */
    static boolean isOfExperts(String module) {
        return EXPERT.matcher(module).find();
    }

    /** A module's name without the numbers of layers. */
    static String kind(String module) {
        return NUMBER.matcher(module).replaceAll("#");
    }

    /** A name with the numbers of another, as far as it has as many. */
    private static String numbered(String name, String numbers) {
        List<String> found =
                NUMBER.matcher(numbers).results().map(MatchResult::group).toList();
        int[] next = {0};
        return LAYER.matcher(name).replaceAll(each -> next[0] < found.size() ? found.get(next[0]++) : each.group());
    }
}
