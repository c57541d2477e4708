package dev.adapt.formats.binding;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.TargetModules;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.names.Place;
import dev.adapt.formats.names.TensorNames;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The matrices that a user's names mean, by PEFT's rule: a module's whole name, or its end after a dot, in canonical form or
 * as the checkpoint's family spells it. A name that no module has may be that of a stack of experts, such as {@code
 * mlp.experts.gate_up_proj}, which PEFT adapts as a parameter.
 *
 * @param base for messages
 */
record NamedTargets(Path base, TensorNames names, Architecture architecture) {
    private static final String WEIGHT = ".weight";

    /** Put before the end of a name: the family's renames look for a dot in front of it. */
    private static final String ANY = "any.";

    /**
     * The matrices, in the model's order, modules first.
     *
     * @throws FormatException if a name matches nothing; the message lists near matches
     */
    List<Target> of(List<String> wanted) {
        List<String> modules = architecture.linearModules().stream()
                .filter(module -> names.find(module + WEIGHT).isPresent())
                .toList();
        List<String> stacks = architecture.expertStacks().stream()
                .filter(stack -> !names.places(stack).isEmpty())
                .toList();
        Set<String> found = new LinkedHashSet<>();
        for (String name : wanted) {
            List<String> own = named(name, modules);
            List<String> matches = own.isEmpty() ? named(name, stacks) : own;
            if (matches.isEmpty()) {
                throw new FormatException(base, "no module is called \"" + name + "\"; " + hint(name, modules, stacks));
            }
            found.addAll(matches);
        }
        List<Target> targets = new ArrayList<>();
        modules.stream().filter(found::contains).map(this::linear).forEach(targets::add);
        targets.addAll(parameters(stacks.stream().filter(found::contains).toList()));
        return targets;
    }

    private List<String> named(String name, List<String> modules) {
        List<String> exact = modules.stream()
                .filter(module -> TargetModules.names(name, module))
                .toList();
        if (!exact.isEmpty()) {
            return exact;
        }
        String whole = names.canonical(name);
        String end = names.canonical(ANY + name).substring(ANY.length());
        return modules.stream()
                .filter(module -> TargetModules.names(whole, module) || TargetModules.names(end, module))
                .toList();
    }

    private Target linear(String module) {
        Place place = names.places(module).getFirst().as(new Storage.Linear(architecture.transposed(module)));
        return new Target(
                names.actualModule(module),
                module,
                place.tensor(),
                place.out(),
                place.in(),
                place.storage(),
                names.isBiased(module));
    }

    /** Stacks of experts. PEFT wraps their module once for each parameter; the wrapper of the last is the innermost. */
    private List<Target> parameters(List<String> stacks) {
        Map<String, List<String>> byModule = new LinkedHashMap<>();
        for (String stack : stacks) {
            byModule.computeIfAbsent(stack.substring(0, stack.lastIndexOf('.')), absent -> new ArrayList<>())
                    .add(stack);
        }
        List<Target> targets = new ArrayList<>();
        byModule.forEach((module, own) -> {
            for (int i = 0; i < own.size(); i++) {
                targets.addAll(parameter(module, own.get(i), own.size() - 1 - i));
            }
        });
        return targets;
    }

    private List<Target> parameter(String module, String stack, int depth) {
        List<Place> places = names.places(stack);
        String core = prefix(places.getFirst(), stack) + module;
        String wrapper = TargetParameters.wrapper(core, depth);
        String parameter = core + stack.substring(module.length());
        return places.stream()
                .map(place -> new Target(
                        wrapper,
                        canonical(stack, place),
                        place.tensor(),
                        place.out(),
                        place.in(),
                        place.storage(),
                        false,
                        parameter,
                        place.piece()))
                .toList();
    }

    /** The stack, or the module of an expert's own tensor. */
    private String canonical(String stack, Place place) {
        return place.storage() instanceof Storage.Expert ? stack : TensorNames.module(names.canonical(place.tensor()));
    }

    /** What stands before the layer in the checkpoint's name of a stack's tensor. */
    private String prefix(Place place, String stack) {
        int dot = stack.indexOf('.');
        int end = stack.indexOf('.', dot + 1);
        int at = place.tensor().indexOf(stack.substring(0, end + 1));
        return at < 0 ? architecture.prefix() : place.tensor().substring(0, at);
    }

    private String hint(String name, List<String> modules, List<String> stacks) {
        boolean ofExperts = !named(name, architecture.linearModules()).isEmpty() && !stacks.isEmpty();
        if (ofExperts) {
            return "the base holds its experts in stacks, which are adapted as a whole: give "
                    + String.join(" or ", ends(stacks));
        }
        List<String> all = new ArrayList<>(modules);
        modules.forEach(module -> all.add(names.actualModule(module)));
        all.addAll(stacks);
        return "near matches: " + near(name, all);
    }

    private static List<String> ends(List<String> modules) {
        return modules.stream()
                .map(module -> module.replaceFirst("^.*\\d+\\.", ""))
                .distinct()
                .toList();
    }

    private static String near(String name, List<String> modules) {
        List<String> near = ends(modules).stream()
                .flatMap(module -> List.of(module, module.substring(module.lastIndexOf('.') + 1)).stream())
                .distinct()
                .sorted(Comparator.comparingInt(candidate -> distance(name, candidate)))
                .limit(4)
                .toList();
        return String.join(", ", near);
    }

    /** Levenshtein's edit distance. */
    private static int distance(String left, String right) {
        int[] row = new int[right.length() + 1];
        for (int i = 0; i <= left.length(); i++) {
            int diagonal = i - 1;
            for (int j = 0; j <= right.length(); j++) {
                int above = row[j];
                if (i == 0 || j == 0) {
                    row[j] = i + j;
                } else {
                    int substituted = diagonal + (left.charAt(i - 1) == right.charAt(j - 1) ? 0 : 1);
                    row[j] = Math.min(substituted, Math.min(above, row[j - 1]) + 1);
                }
                diagonal = above;
            }
        }
        return row[right.length()];
    }
}
