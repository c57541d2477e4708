package dev.adapt.formats.names;

import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Whether the weights of linear layers are stored [in, out], as Conv1D does, or [out, in]. A bias is as long as the output,
 * which tells it of each weight that is not square; a square one is stored as all others in numbered layers are.
 *
 * @param shapes of the checkpoint's tensors, by canonical name
 * @param ofLayers what the biases in numbered layers say; empty where there are none or they disagree
 */
record Orientation(Function<String, @Nullable Shape> shapes, Optional<Boolean> ofLayers) {
    private static final Pattern NUMBERED = Pattern.compile("(^|\\.)\\d+\\.");

    static Orientation of(Map<String, Shape> shapes) {
        Set<Boolean> said = shapes.keySet().stream()
                .filter(name -> name.endsWith(".bias") && isNumbered(name))
                .map(name -> ofBias(
                        shapes.get(name.substring(0, name.length() - "bias".length()) + "weight"), shapes.get(name)))
                .flatMap(Optional::stream)
                .collect(Collectors.toSet());
        return new Orientation(shapes::get, said.size() == 1 ? said.stream().findFirst() : Optional.empty());
    }

    /** Whether a module is in a list of layers. */
    static boolean isNumbered(String name) {
        return NUMBERED.matcher(name).find();
    }

    /** Whether a module's weight is stored [in, out], where its own bias or the other layers' tell. */
    Optional<Boolean> transposed(String module) {
        Shape weight = shapes.apply(module + ".weight");
        Optional<Boolean> own = ofBias(weight, shapes.apply(module + ".bias"));
        boolean square = weight != null && weight.rank() == 2 && weight.dim(0) == weight.dim(1);
        return own.isPresent() || !square || !isNumbered(module) ? own : ofLayers;
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
