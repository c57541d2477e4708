package dev.adapt.formats.single;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.tensor.Shape;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * The modules of a base by their names with underscores in the place of dots, as kohya writes them: only the base tells the
 * two apart.
 */
final class ModuleNames {
    private static final String WEIGHT = ".weight";

    /** What the names of a denoiser begin with in a checkpoint that holds a whole pipeline. */
    private static final List<String> HOLDERS = List.of("model.diffusion_model.", "diffusion_model.");

    private final TensorNames names;
    private final Map<String, NavigableSet<String>> modules = new TreeMap<>();

    ModuleNames(Checkpoint base) {
        this.names = TensorNames.of(base);
        for (String canonical : names.tensors()) {
            if (canonical.endsWith(WEIGHT)
                    && names.shape(canonical).orElseThrow().rank() >= 2) {
                String module = withoutWeight(names.find(canonical).orElseThrow());
                add(module, module);
                add(withoutWeight(canonical), module);
                HOLDERS.stream()
                        .filter(module::startsWith)
                        .forEach(holder -> add(module.substring(holder.length()), module));
            }
        }
    }

    private void add(String name, String module) {
        modules.computeIfAbsent(flat(name), absent -> new TreeSet<>()).add(module);
    }

    static String flat(String module) {
        return module.replace('.', '_');
    }

    private static String withoutWeight(String tensor) {
        return tensor.substring(0, tensor.length() - WEIGHT.length());
    }

    /**
     * The module that a name means, as the base spells it.
     *
     * @throws FormatException if it means several
     */
    Optional<String> find(Path file, String name) {
        // a name with its dots may be spelled as another version of the model's library spells it
        Optional<String> spelled = names.find(names.canonical(name + WEIGHT)).map(ModuleNames::withoutWeight);
        if (spelled.isPresent()) {
            return spelled;
        }
        for (String own : candidates(name)) {
            NavigableSet<String> found = modules.getOrDefault(own, new TreeSet<>());
            if (found.size() > 1) {
                throw new FormatException(file, name, "means more than one module: " + String.join(", ", found));
            }
            if (!found.isEmpty()) {
                return Optional.of(found.first());
            }
        }
        return Optional.empty();
    }

    /** The names to look for, in order; the last module of an attention is a list in diffusers, of which the first counts. */
    private static List<String> candidates(String name) {
        String whole = flat(name);
        String bare = flat(ModelPart.of(name)
                .map(ModelPart.Named::module)
                .orElse(name.startsWith("lora_") ? name.substring("lora_".length()) : name));
        return List.of(whole, bare, bare + "_0");
    }

    /** The shape of a module's weight. */
    Shape weight(String module) {
        return names.shape(names.canonical(module + WEIGHT)).orElseThrow();
    }

    /** Some modules of the base, for a message. */
    String some() {
        return modules.values().stream()
                .map(NavigableSet::first)
                .distinct()
                .limit(3)
                .reduce((a, b) -> a + ", " + b)
                .orElse("none");
    }
}
