package dev.adapt.formats.lors;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.model.FromScratch;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.model.WholeModel;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedSet;
import java.util.random.RandomGenerator;

/**
 * A model whose layers share weights (LORS). Every tensor of it is trained.
 *
 * @param targets the names of the modules that share weights, as the user or the architecture gives them
 * @param others the tensors that no layers share, by canonical name
 */
public record StackedModel(ModelConfig config, Stacks stacks, List<String> targets, Map<String, Tensor> others)
        implements WholeModel {
    public StackedModel {
        targets = List.copyOf(targets);
    }

    /** A model whose tensors stay in its file, for as long as that is open. */
    public record Opened(StackedModel whole, SafetensorsFile file) implements AutoCloseable {
        @Override
        public void close() {
            file.close();
        }
    }

    /**
     * Whether a folder holds a model whose layers share weights.
     *
     * @throws dev.adapt.formats.FormatException if it has an adapter_config.json that cannot be read
     */
    public static boolean isIn(Path folder) throws IOException {
        return LorsFolder.isIn(folder);
    }

    /**
     * Opens a folder that holds a model whose layers share weights.
     *
     * @throws java.nio.file.NoSuchFileException if a file is missing
     * @throws dev.adapt.formats.FormatException if a file is broken, or its tensors are not those that its two configs call
     *     for
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by whoever closes what is returned
    public static Opened open(Path folder) throws IOException {
        LorsFolder.requireFiles(folder);
        SafetensorsFile file = SafetensorsFile.open(folder.resolve(Adapter.FILE));
        try {
            return new Opened(LorsFolder.read(folder, file, TensorView::requireFloats), file);
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** Reads such a folder, all of it into memory. */
    public static StackedModel read(Path folder) throws IOException {
        LorsFolder.requireFiles(folder);
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(Adapter.FILE))) {
            return LorsFolder.read(folder, file, FloatTensor::of);
        }
    }

    /**
     * A model of tensors in memory.
     *
     * @param targets the names of the modules that share weights
     * @param others all tensors that no layers share, by canonical name
     * @throws dev.adapt.formats.FormatException if a tensor is missing or has another shape than the config calls for
     */
    public static StackedModel of(
            ModelConfig config, Stacks stacks, List<String> targets, Map<String, ? extends Tensor> others) {
        StackedModel whole = new StackedModel(config, stacks, targets, new LinkedHashMap<>(others));
        whole.model();
        return whole;
    }

    /**
     * A model of random values, those that no layers share as in a plain model of the same seed.
     *
     * @param names of the modules that share weights, whole or their end after a dot
     * @throws dev.adapt.formats.FormatException if the architecture is not supported, or a name matches no module
     */
    public static StackedModel fromScratch(
            ModelConfig config, LorsLayout layout, List<String> names, RandomGenerator random) {
        List<Target> targets = Binding.targets(config, names);
        Map<String, FloatTensor> others = FromScratch.tensors(config, targets, random);
        return of(config, Stacks.fresh(layout, targets, random), names, others);
    }

    @Override
    public String method() {
        return LorsLayout.NAME;
    }

    @Override
    public void describe(ObjectNode settings) {
        stacks.layout().describe(settings);
    }

    @Override
    public Model model() {
        Map<String, String> shared = stacks.sharedKeys();
        Map<String, Tensor> weights = new LinkedHashMap<>(others);
        shared.forEach((name, key) ->
                weights.put(name, Objects.requireNonNull(stacks.tensors().get(key))));
        SequencedSet<String> trainable = new LinkedHashSet<>(stacks.tensors().keySet());
        trainable.addAll(others.keySet());
        return Model.of(config, weights, new Model.Changes(Optional.of(stacks), trainable, shared, 0));
    }

    @Override
    public StackedModel with(ModelConfig changed, Map<String, Tensor> tensors) {
        return of(changed, stacks, targets, tensors);
    }

    @Override
    public StackedModel trained(Map<String, FloatTensor> leaves) {
        Map<String, Tensor> parts = new LinkedHashMap<>(stacks.tensors());
        Map<String, Tensor> rest = new LinkedHashMap<>(others);
        leaves.forEach((name, tensor) -> (parts.containsKey(name) ? parts : rest).put(name, tensor));
        return new StackedModel(config, stacks.with(parts), targets, rest);
    }

    @Override
    public long parameters() {
        return WholeModel.elements(stacks.tensors()) + WholeModel.elements(others);
    }

    /** The number of parameters of the same model without stacks. */
    public long plainParameters() {
        return WholeModel.elements(others)
                + stacks.targets().stream()
                        .mapToLong(target -> target.storedShape().elements())
                        .sum();
    }

    @Override
    public Path writeWeights(Path folder) throws IOException {
        return LorsFolder.write(this, folder);
    }
}
