package dev.adapt.verify;

import dev.adapt.formats.graph.ReferenceOps;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Function;

/**
 * A model in float64, as exact as its stored weights allow. It holds every tensor the graph has asked for, widened, so it
 * takes 8 bytes for each parameter.
 */
public final class ReferenceRunner {
    private final Model model;
    private final Function<String, Tensor> leaf;
    private final ReferenceOps ops = new ReferenceOps();
    private final Map<String, DoubleTensor> leaves = new HashMap<>();

    /** The model must stay open as long as this is used. */
    public ReferenceRunner(Model model) {
        this(model, model::leaf);
    }

    /** A model of other leaves than its own. */
    public ReferenceRunner(Model model, Function<String, Tensor> leaf) {
        this.model = model;
        this.leaf = leaf;
    }

    /** The architecture's own output for inputs by name. */
    public DoubleTensor run(Map<String, Tensor> inputs) {
        String main = model.architecture().outputName();
        return Objects.requireNonNull(outputs(inputs, Set.of(main)).get(main));
    }

    /**
     * Some of the model's outputs for inputs by name.
     *
     * @param wanted of {@link Model#outputNames}
     */
    public SequencedMap<String, DoubleTensor> outputs(Map<String, Tensor> inputs, Set<String> wanted) {
        return outputs(inputs, wanted, (module, output) -> {});
    }

    /** The same, watched as {@link Model#outputs} says. */
    public SequencedMap<String, DoubleTensor> outputs(
            Map<String, Tensor> inputs, Set<String> wanted, BiConsumer<String, DoubleTensor> seen) {
        Map<String, DoubleTensor> wide = new LinkedHashMap<>();
        inputs.forEach((name, input) -> wide.put(name, DoubleTensor.of(input)));
        return model.outputs(
                ops, name -> leaves.computeIfAbsent(name, own -> DoubleTensor.of(leaf.apply(own))), wide, wanted, seen);
    }
}
