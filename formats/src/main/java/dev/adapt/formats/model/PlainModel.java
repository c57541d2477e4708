package dev.adapt.formats.model;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.ValueCount;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.UnaryOperator;

/**
 * A plain model in memory, of which every weight is trained.
 *
 * @param others all of its tensors, by canonical name
 */
public record PlainModel(ModelConfig config, Map<String, Tensor> others) implements WholeModel {
    /**
     * A model of tensors in memory.
     *
     * @throws dev.adapt.formats.FormatException if a tensor is missing or has another shape than the config calls for
     */
    static PlainModel of(ModelConfig config, Map<String, ? extends Tensor> tensors) {
        PlainModel plain = new PlainModel(config, new LinkedHashMap<>(tensors));
        plain.model();
        return plain;
    }

    /**
     * A checkpoint, all of it in memory.
     *
     * @throws java.nio.file.NoSuchFileException if it has no config.json
     * @throws dev.adapt.formats.FormatException if its architecture is not supported or a tensor is missing
     */
    public static PlainModel of(Checkpoint checkpoint) throws IOException {
        return of(Model.of(checkpoint).config(), tensors(checkpoint, List.of()));
    }

    /** The tensors of a checkpoint but for the weights of these layers, by canonical name; buffers of integers are left out. */
    public static SequencedMap<String, Tensor> tensors(Checkpoint checkpoint, List<Target> without) {
        TensorNames names = TensorNames.of(checkpoint);
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        for (TensorView tensor : checkpoint.tensors().values()) {
            if (tensor.dtype().floatFormat().isPresent()) {
                tensors.put(names.canonical(tensor.name()), FloatTensor.of(tensor));
            }
        }
        without.forEach(target -> tensors.remove(target.canonical() + ".weight"));
        return tensors;
    }

    @Override
    public String method() {
        return "FULL";
    }

    @Override
    public void describe(ObjectNode settings) {}

    @Override
    public List<String> targets() {
        return List.of();
    }

    @Override
    public Model model() {
        return Model.of(
                config, others, new Model.Changes(Optional.empty(), new LinkedHashSet<>(others.keySet()), Map.of(), 0));
    }

    @Override
    public PlainModel with(ModelConfig changed, Map<String, Tensor> tensors) {
        return of(changed, tensors);
    }

    @Override
    public PlainModel trained(Map<String, FloatTensor> leaves) {
        Map<String, Tensor> changed = new LinkedHashMap<>(others);
        changed.putAll(leaves);
        return new PlainModel(config, changed);
    }

    @Override
    public long parameters() {
        return WholeModel.elements(others);
    }

    @Override
    public Path writeWeights(Path folder) throws IOException {
        Path file = folder.resolve(Checkpoint.SINGLE);
        Map<String, FloatTensor> stored = new LinkedHashMap<>();
        UnaryOperator<String> names = Architectures.checkpointNames(config);
        others.forEach((name, tensor) -> stored.put(names.apply(name), FloatTensor.of(tensor)));
        ValueCount.requireFiniteResults(file, stored);
        SafetensorsWriter.write(file, stored, Map.of("format", "pt"));
        return file;
    }
}
