package dev.adapt.merge.convert;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Compaction;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** What becomes of the frozen tensors that a seed draws. */
public enum SharedMatrices {
    AS_THEY_ARE,
    /** They are drawn and stored. */
    SAVED,
    /** They are left to be drawn from the seed. */
    LEFT_OUT;

    private static final String SHARED_PREFIX = "base_model.";

    /**
     * Changes a copy of an adapter.
     *
     * @param bound the adapter on its layers, asked only where the layers must be known
     * @throws UsageException if there is something to change and the adapter's method draws nothing from a seed
     * @throws FormatException if tensors would be left out and the seed does not draw them bit for bit
     */
    void apply(Adapter adapter, Supplier<BoundAdapter> bound, AdapterOutput output) {
        if (this == AS_THEY_ARE || (this == LEFT_OUT && adapter.method().isSmallest())) {
            return;
        }
        if (this == LEFT_OUT && adapter.method().compaction().isPresent()) {
            compact(adapter, bound.get(), adapter.method().compaction().get(), output);
            return;
        }
        String field = adapter.method()
                .storingField()
                .orElseThrow(() -> new UsageException("only methods that draw frozen tensors from a seed, and whose"
                        + " files can hold them, store them or leave them out: this adapter is "
                        + adapter.method().peftType()));
        if (this == SAVED) {
            save(bound.get(), adapter, output);
        } else {
            leaveOut(adapter, bound, output);
        }
        output.config().put(field, this == SAVED);
    }

    private static void compact(Adapter adapter, BoundAdapter bound, Compaction smaller, AdapterOutput output) {
        for (Target target : bound.targets()) {
            Map<String, String> keys = new LinkedHashMap<>();
            bound.method().parts(target, bound.targets()).stream()
                    .filter(part -> part.scope() == Part.Scope.LAYER)
                    .forEach(part -> keys.put(part.name(), BoundAdapter.key(part, target)));
            Map<String, FloatTensor> parts = smaller.parts()
                    .apply(name -> Objects.requireNonNull(bound.tensors().get(keys.get(name))));
            Dtype dtype = output.dtype(keys.values().iterator().next());
            keys.values().forEach(output::remove);
            for (Part part : smaller.method().parts(target, bound.targets())) {
                FloatTensor own = parts.get(part.name());
                String key = BoundAdapter.key(part, target);
                if (own != null && smaller.method().isInteger(part.name())) {
                    output.putIntegers(key, own);
                } else if (own != null) {
                    output.put(adapter.file(), key, DoubleTensor.of(own), dtype);
                }
            }
        }
        smaller.method().describe(output.config());
    }

    private static void save(BoundAdapter bound, Adapter adapter, AdapterOutput output) {
        drawn(bound.method(), bound.targets()).forEach((key, part) -> {
            if (!output.has(key)) {
                Tensor drawn = Objects.requireNonNull(bound.tensors().get(key));
                output.put(adapter.file(), key, DoubleTensor.of(drawn), Dtype.F32);
            }
        });
    }

    /** The keys of what a seed draws, with the names of the parts. */
    private static Map<String, String> drawn(AdapterMethod method, List<Target> targets) {
        Map<String, String> drawn = new LinkedHashMap<>();
        for (Target target : targets) {
            for (Part part : method.parts(target, targets)) {
                if (part.initial() instanceof Initial.Regenerated) {
                    drawn.putIfAbsent(BoundAdapter.key(part, target), part.id(target));
                }
            }
        }
        return drawn;
    }

    private static void leaveOut(Adapter adapter, Supplier<BoundAdapter> bound, AdapterOutput output) {
        AdapterMethod method = adapter.method();
        List<Target> widest = method.widest(part -> adapter.parts().get(SHARED_PREFIX + part));
        List<Target> targets = widest.isEmpty() ? bound.get().targets() : widest;
        Map<String, String> drawn = drawn(method, targets);
        drawn.keySet().removeIf(key -> !output.has(key));
        if (drawn.isEmpty()) {
            return;
        }
        Map<String, FloatTensor> stored = new LinkedHashMap<>();
        drawn.forEach((key, id) -> stored.put(id, output.get(key)));
        AdapterMethod same = Stream.concat(Stream.of(method), method.otherRoundings().stream())
                .filter(each -> draws(each, targets, stored))
                .findFirst()
                .orElseThrow(() -> new FormatException(
                        adapter.file(),
                        String.join(", ", List.copyOf(stored.keySet()).subList(0, Math.min(2, stored.size()))),
                        "is not what the config's seed draws, bit for bit: without it the adapter would be another"));
        drawn.keySet().forEach(output::remove);
        removeCopies(method, output);
        output.metadata().putAll(same.metadata());
        stored.forEach((id, tensor) -> output.metadata().put(Adapter.PART_SHA256 + id, TensorDigest.ofFloats(tensor)));
    }

    /** Removes the layers' copies of what all layers share. */
    static void removeCopies(AdapterMethod method, AdapterOutput output) {
        method.copies()
                .forEach(name -> output.keys().stream()
                        .filter(key -> key.endsWith("." + name))
                        .forEach(output::remove));
    }

    private static boolean draws(AdapterMethod method, List<Target> targets, Map<String, FloatTensor> stored) {
        Map<String, Tensor> drawn = method.regenerate(targets);
        return stored.entrySet().stream()
                .allMatch(entry -> TensorDigest.ofFloats(entry.getValue())
                        .equals(TensorDigest.ofFloats(Objects.requireNonNull(drawn.get(entry.getKey())))));
    }
}
