package dev.adapt.formats.binding;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Collectors;

/**
 * What an adapter costs.
 *
 * @param method its paper's name of it
 * @param ranks its rank, or all of them where layers differ
 * @param modules the number of adapted layers
 * @param trained trained elements of the method's tensors
 * @param head elements of the modules it holds whole
 * @param bytes of its safetensors file; of one that is planned, of its tensors in float32
 * @param loraParameters what LoRA of the same rank trains on the same layers, if their widths are known
 * @param plainParameters what the layers' weights take in a plain model, where they are stored too and not an update alone
 */
public record AdapterSize(
        String method,
        String ranks,
        int modules,
        long trained,
        long head,
        long bytes,
        OptionalLong loraParameters,
        OptionalLong plainParameters) {
    /** The cost as far as the adapter's own folder tells. */
    public static AdapterSize of(Adapter adapter) throws IOException {
        List<List<Target>> layers = adapter.modules().stream()
                .map(module -> BaseRecord.layers(adapter, module))
                .toList();
        return of(
                adapter,
                layers.stream().flatMap(List::stream).toList(),
                layers.stream().noneMatch(List::isEmpty));
    }

    /** The cost on a base, which knows the widths of all layers. */
    public static AdapterSize of(Adapter adapter, Checkpoint base) throws IOException {
        return of(adapter, new Binding(base).bind(adapter, false).targets(), true);
    }

    /** The cost of an adapter that is not there yet, counted from the tensors that training would begin with. */
    public static AdapterSize planned(AdapterMethod method, List<Target> targets) {
        return new AdapterSize(
                method.title(),
                ranks(method, targets),
                targets.size(),
                BoundAdapter.elements(method, targets, Part::trained),
                0,
                Float.BYTES * BoundAdapter.elements(method, targets, Part::stored),
                lora(method, targets),
                OptionalLong.empty());
    }

    private static String ranks(AdapterMethod method, List<Target> targets) {
        return targets.stream()
                .map(method::rank)
                .filter(rank -> rank > 0)
                .distinct()
                .sorted()
                .map(String::valueOf)
                .collect(Collectors.joining(", "));
    }

    /** Empty for a method without ranks. */
    private static OptionalLong lora(AdapterMethod method, List<Target> targets) {
        long parameters = targets.stream()
                .mapToLong(target -> (long) method.rank(target) * (target.in() + target.out()))
                .sum();
        return parameters == 0 ? OptionalLong.empty() : OptionalLong.of(parameters);
    }

    private static AdapterSize of(Adapter adapter, List<Target> targets, boolean known) throws IOException {
        AdapterMethod method = adapter.method();
        return new AdapterSize(
                method.title(),
                ranks(
                        method,
                        adapter.modules().stream()
                                .map(module -> new Target(module, module, module, 1, 1, false))
                                .toList()),
                known ? targets.size() : adapter.modules().size(),
                elements(adapter.parts().entrySet().stream()
                        .filter(entry -> entry.getKey().startsWith(Adapter.MODULE_PREFIX))
                        .map(Map.Entry::getValue)
                        .toList()),
                elements(List.copyOf(adapter.saved().values())),
                Files.size(adapter.file()),
                known ? lora(method, targets) : OptionalLong.empty(),
                OptionalLong.empty());
    }

    private static long elements(List<Tensor> tensors) {
        return tensors.stream().mapToLong(tensor -> tensor.shape().elements()).sum();
    }
}
