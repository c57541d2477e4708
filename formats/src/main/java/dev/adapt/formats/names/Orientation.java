package dev.adapt.formats.names;

import dev.adapt.formats.tensor.Shape;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Whether the weights of linear layers are stored [in, out], as Conv1D does, or [out, in]. A bias is as long as the output,
 * which tells it of each weight that is not square; a square one is stored as those in numbered layers are whose name ends
 * alike. A model may have both kinds in one layer, as CLVP's have.
 *
 * @param shapes of the checkpoint's tensors, by canonical name
 * @param ofNames what the biases in numbered layers say, by the last part of a module's name; without those that disagree
 */
record Orientation(Function<String, @Nullable Shape> shapes, Map<String, Boolean> ofNames) {
    private static final Pattern NUMBERED = Pattern.compile("(^|\\.)\\d+\\.");
    private static final String BIAS = ".bias";

    /** GPT-2's names, which stand for one kind of layer. */
    private static final Set<String> OF_GPT2 = Set.of("c_attn", "q_attn", "c_proj", "c_fc");

    static Orientation of(Map<String, Shape> shapes) {
        Map<String, Set<Boolean>> said = new HashMap<>();
        shapes.keySet().stream()
                .filter(name -> name.endsWith(BIAS) && isNumbered(name))
                .map(name -> name.substring(0, name.length() - BIAS.length()))
                .forEach(module -> ofBias(shapes.get(module + ".weight"), shapes.get(module + BIAS))
                        .ifPresent(transposed -> said.computeIfAbsent(kind(module), absent -> new HashSet<>())
                                .add(transposed)));
        Map<String, Boolean> ofNames = new HashMap<>();
        said.forEach((kind, answers) -> {
            if (answers.size() == 1) {
                ofNames.put(kind, answers.contains(true));
            }
        });
        return new Orientation(shapes::get, Map.copyOf(ofNames));
    }

    static String kind(String module) {
        String last = module.substring(module.lastIndexOf('.') + 1);
        return OF_GPT2.contains(last) ? "c_attn" : last;
    }

    /** Whether a module is in a list of layers. */
    static boolean isNumbered(String name) {
        return NUMBERED.matcher(name).find();
    }

    /** Whether a module's weight is stored [in, out], where its own bias or that of a module whose name ends alike tells. */
    Optional<Boolean> transposed(String module) {
        Shape weight = shapes.apply(module + ".weight");
        Optional<Boolean> own = ofBias(weight, shapes.apply(module + BIAS));
        boolean square = weight != null && weight.rank() == 2 && weight.dim(0) == weight.dim(1);
        return own.isPresent() || !square || !isNumbered(module) ? own : Optional.ofNullable(ofNames.get(kind(module)));
    }

    private static Optional<Boolean> ofBias(@Nullable Shape weight, @Nullable Shape bias) {
        if (weight == null || bias == null || weight.rank() != 2 || bias.rank() != 1) {
            return Optional.empty();
        }
        List<Long> dims = weight.dims();
        return dims.get(0).equals(dims.get(1)) || !dims.contains(bias.dim(0))
                ? Optional.empty()
                : Optional.of(bias.dim(0) == dims.get(1));
    }
}
