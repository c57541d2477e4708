package dev.adapt.merge.plan;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.ShardPlan;
import dev.adapt.formats.checkpoint.WeightFiles;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;

/**
 * One file of a merged checkpoint and what lies in it.
 *
 * @param file its name in the checkpoint's folder
 * @param tensors in the order of their data
 */
public record Layout(String file, List<TensorSpec> tensors, Map<String, String> metadata) {
    /**
     * The base's own files: each tensor stays where it is, a copied one lies beside its source, added ones in the last.
     *
     * @param saved tensors that take the place of the base's, or are new
     * @param added those of them that are new
     * @param copies new tensors, by name, with the tensor of the base that each begins as
     */
    static List<Layout> ofBase(
            Checkpoint base, Map<String, Tensor> saved, Set<String> added, Map<String, String> copies) {
        Map<Path, List<TensorSpec>> ofFile = new HashMap<>();
        for (TensorView tensor : base.tensors().values()) {
            ofFile.computeIfAbsent(tensor.file(), absent -> new ArrayList<>())
                    .add(spec(tensor.name(), tensor.info(), saved));
        }
        List<Layout> layouts = new ArrayList<>();
        for (SafetensorsFile file : base.files()) {
            List<TensorSpec> specs = ofFile.getOrDefault(file.path(), new ArrayList<>());
            if (file == base.files().getLast()) {
                for (String name : added) {
                    Tensor tensor = saved.get(name);
                    if (tensor != null) {
                        add(specs, new TensorSpec(name, Dtype.F32, tensor.shape()));
                    }
                }
            }
            copies.forEach((name, source) ->
                    file.find(source).ifPresent(original -> add(specs, spec(name, original.info(), saved))));
            layouts.add(new Layout(base.nameOf(file), specs, file.metadata()));
        }
        return layouts;
    }

    private static TensorSpec spec(String name, TensorInfo source, Map<String, Tensor> saved) {
        Tensor replacement = saved.get(name);
        return new TensorSpec(name, source.dtype(), replacement == null ? source.shape() : replacement.shape());
    }

    /** Before the first narrower tensor, so that all stay aligned to their element size. */
    private static void add(List<TensorSpec> specs, TensorSpec added) {
        int place = 0;
        while (place < specs.size()
                && specs.get(place).dtype().bits() >= added.dtype().bits()) {
            place++;
        }
        specs.add(place, added);
    }

    /**
     * The same tensors, in as many files as a {@link ShardPlan} needs. In each, wider dtypes come first, so that all are
     * aligned to their element size.
     *
     * @param maxBytes the most that the tensors of a file have together, unless it holds only one
     * @param files what they are called
     */
    static List<Layout> inShards(List<Layout> layouts, long maxBytes, WeightFiles files) {
        SequencedMap<String, TensorSpec> specs = new LinkedHashMap<>();
        SequencedMap<String, Long> bytes = new LinkedHashMap<>();
        Map<String, String> metadata = new LinkedHashMap<>();
        for (Layout layout : layouts) {
            layout.metadata().forEach(metadata::putIfAbsent);
            for (TensorSpec tensor : layout.tensors()) {
                specs.put(tensor.name(), tensor);
                bytes.put(tensor.name(), tensor.bytes());
            }
        }
        List<Layout> shards = new ArrayList<>();
        ShardPlan.split(bytes, maxBytes, files).shards().forEach((file, names) -> {
            Set<String> inside = Set.copyOf(names);
            List<TensorSpec> tensors = specs.values().stream()
                    .filter(tensor -> inside.contains(tensor.name()))
                    .sorted(Comparator.comparingInt(tensor -> -tensor.dtype().bits()))
                    .toList();
            shards.add(new Layout(file, tensors, metadata));
        });
        return shards;
    }
}
