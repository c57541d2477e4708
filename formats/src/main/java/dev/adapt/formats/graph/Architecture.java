package dev.adapt.formats.graph;

import dev.adapt.formats.FormatException;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * A family of models: its forward pass, written once on {@link Ops}, and the names of its tensors.
 *
 * <p>Canonical names are those of the bare model in transformers, without the task prefix: {@link #canonical} maps every
 * spelling found in checkpoints and adapters to them.
 */
public sealed interface Architecture permits Bert {
    /**
     * The architecture config.json describes.
     *
     * @throws FormatException if its {@code model_type}, or an option that changes the graph, is not supported
     */
    static Architecture of(ModelConfig config) {
        return switch (config.modelType()) {
            case "bert" -> Bert.of(config);
            case String other ->
                throw new FormatException(
                        config.document().path(),
                        "model_type",
                        "\"" + other + "\" is not supported, expected one of: bert");
        };
    }

    /** Its inputs, in the order Hugging Face exporters give them. */
    List<InputSpec> inputs();

    /** The canonical names of the linear layers of its body, which an adapter can adapt. */
    List<String> linearModules();

    /** The canonical names of all tensors the graph needs, those of its head included. */
    List<String> requiredTensors();

    /** The canonical form of a tensor or module name, as this architecture's checkpoints and adapters spell them. */
    String canonical(String name);

    /** The pooling a new head takes where the user does not choose. */
    Pooling defaultPooling(Predicate<String> present);

    /** What the result of {@link #forward} is called in an exported graph. */
    String outputName();

    /** The axes of that result. */
    List<String> outputAxes();

    /**
     * The forward pass.
     *
     * @param inputs by the names of {@link #inputs}; token types may be missing and are then 0
     * @return the logits [batch, labels] where the model has a head, else the token states [batch, sequence, hidden]
     */
    <T> T forward(Layers<T> layers, Map<String, T> inputs);
}
