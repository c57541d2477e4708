package dev.adapt.formats.method;

import dev.adapt.formats.tensor.Tensor;
import java.util.Objects;
import java.util.Set;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;

/**
 * The tensors that an adapter's file holds of its modules.
 *
 * @param modules the adapted modules
 * @param layers those of them of which the file holds the weight beneath the adapter too
 * @param tensors the tensor of a module and a part's name
 */
public record StoredParts(
        Set<String> modules, Set<String> layers, BiFunction<String, String, @Nullable Tensor> tensors) {
    /** The tensor of a part of one module. */
    public @Nullable Tensor of(String module, String part) {
        return tensors.apply(module, part);
    }

    /** The tensor of a part, of the first module that has it. */
    public @Nullable Tensor first(String part) {
        return modules.stream()
                .map(module -> tensors.apply(module, part))
                .filter(Objects::nonNull)
                .findFirst()
                .orElse(null);
    }
}
