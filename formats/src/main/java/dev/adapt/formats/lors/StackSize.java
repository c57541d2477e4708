package dev.adapt.formats.lors;

import dev.adapt.formats.binding.AdapterSize;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Collectors;

/** Counts what stacks cost, in the form in which adapters are counted. */
public final class StackSize {
    private StackSize() {}

    /**
     * The cost of a model whose layers share weights.
     *
     * @param file with its tensors
     */
    public static AdapterSize of(StackedModel model, Path file) throws IOException {
        long others = model.others().values().stream()
                .mapToLong(tensor -> tensor.shape().elements())
                .sum();
        return size(model.stacks().layout(), model.stacks().targets(), others, Files.size(file));
    }

    /** The cost of stacks that are not there yet, in float32. */
    public static AdapterSize planned(LorsLayout layout, List<Target> targets) {
        return size(layout, targets, 0, Float.BYTES * elements(layout.shapes(targets)));
    }

    private static AdapterSize size(LorsLayout layout, List<Target> targets, long others, long bytes) {
        return new AdapterSize(
                LorsLayout.NAME,
                targets.stream()
                        .map(layout::rank)
                        .distinct()
                        .sorted()
                        .map(String::valueOf)
                        .collect(Collectors.joining(", ")),
                targets.size(),
                elements(layout.shapes(targets)),
                others,
                bytes,
                OptionalLong.of(targets.stream()
                        .mapToLong(target -> (long) layout.rank(target) * (target.in() + target.out()))
                        .sum()),
                OptionalLong.of(targets.stream()
                        .mapToLong(target -> target.storedShape().elements())
                        .sum()));
    }

    private static long elements(Map<String, Shape> tensors) {
        return tensors.values().stream().mapToLong(Shape::elements).sum();
    }
}
