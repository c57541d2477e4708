package dev.adapt.formats.adapter;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What an adapter costs.
 *
 * @param method its paper's name of it
 * @param ranks its rank, or all of them where layers differ
 * @param modules the number of adapted layers
 * @param trained trained elements of the method's tensors
 * @param head elements of the modules it holds whole
 * @param bytes of its safetensors file
 * @param loraParameters what LoRA of the same rank trains on the same layers, if their widths are known
 */
public record AdapterSize(
        String method, String ranks, int modules, long trained, long head, long bytes, OptionalLong loraParameters) {
    private static final Pattern LAYER = Pattern.compile("\\[(\\d{1,9}), (\\d{1,9})]");

    /** The cost as far as the adapter's own folder tells. */
    public static AdapterSize of(Adapter adapter) throws IOException {
        return of(
                adapter,
                adapter.modules().stream()
                        .flatMap(module -> layer(adapter, module).stream())
                        .toList());
    }

    /** The cost on a base, which knows the widths of all layers. */
    public static AdapterSize of(Adapter adapter, Checkpoint base) throws IOException {
        return of(adapter, new Binding(base).bind(adapter, false).targets());
    }

    private static AdapterSize of(Adapter adapter, List<Target> targets) throws IOException {
        AdapterMethod method = adapter.method();
        long lora = targets.stream()
                .mapToLong(target -> (long) method.rank(target) * (target.in() + target.out()))
                .sum();
        boolean known = targets.size() == adapter.modules().size();
        return new AdapterSize(
                method.title(),
                adapter.modules().stream()
                        .map(module -> method.rank(new Target(module, module, module, 1, 1, false)))
                        .distinct()
                        .sorted()
                        .map(String::valueOf)
                        .collect(Collectors.joining(", ")),
                adapter.modules().size(),
                elements(adapter.parts().entrySet().stream()
                        .filter(entry -> entry.getKey().startsWith(Adapter.MODULE_PREFIX))
                        .map(Map.Entry::getValue)
                        .toList()),
                elements(List.copyOf(adapter.saved().values())),
                Files.size(adapter.file()),
                known ? OptionalLong.of(lora) : OptionalLong.empty());
    }

    private static long elements(List<Tensor> tensors) {
        return tensors.stream().mapToLong(tensor -> tensor.shape().elements()).sum();
    }

    /** The layer of a module as far as the adapter tells: from its metadata, or from its tensors' shapes. */
    static Optional<Target> layer(Adapter adapter, String module) {
        return Optional.ofNullable(adapter.metadata().get(BoundAdapter.BASE_SHAPE + module))
                .map(LAYER::matcher)
                .filter(Matcher::matches)
                .map(shape -> Shape.of(Long.parseLong(shape.group(1)), Long.parseLong(shape.group(2))))
                .or(() -> adapter.method()
                        .layerShape(part -> adapter.part(module, part).orElse(null)))
                .map(shape -> new Target(module, module, module, (int) shape.dim(0), (int) shape.dim(1), false));
    }
}
