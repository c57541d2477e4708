package dev.adapt.formats.graph;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * A family of models: its forward pass, written once on {@link Ops}, and the names of its tensors.
 *
 * <p>Canonical names are those of the bare model's checkpoints in transformers, without the task prefix: {@link
 * dev.adapt.formats.names.TensorNames} maps every spelling found in checkpoints and adapters to them.
 */
public interface Architecture {
    /** Its inputs, in the order Hugging Face exporters give them. */
    List<InputSpec> inputs();

    /** What token sequences it takes; empty for a model of images or features. */
    Optional<Tokens> tokens();

    /** What it keeps of earlier tokens, where it gives the logits of the next; empty if it is no language model. */
    default Optional<CacheSpec> cache() {
        return Optional.empty();
    }

    /** The width of its token states. */
    int hidden();

    /** The canonical names of the linear layers of its body, which an adapter can adapt. */
    List<String> linearModules();

    /**
     * The canonical names of parameters that hold one matrix for each expert, or would hold it in a checkpoint of transformers 5,
     * the parameters of each module in the module's order.
     */
    default List<String> expertStacks() {
        return List.of();
    }

    /**
     * What PEFT adapts for {@code all-linear}: the {@link #stackModules} but for those of experts, which transformers 5 holds in
     * stacks.
     */
    default List<String> allLinear() {
        return stackModules().stream()
                .filter(module -> !module.matches(".*\\.\\d+\\..*"))
                .toList();
    }

    /** A user's names of modules: {@link #usualTargets} where there are none, with {@link #allLinear} for {@code all-linear}. */
    default List<String> targets(List<String> wanted) {
        return wanted.isEmpty()
                ? usualTargets()
                : wanted.stream()
                        .flatMap(name -> name.equals("all-linear") ? allLinear().stream() : Stream.of(name))
                        .distinct()
                        .toList();
    }

    /** What its {@link #linearModules} are called in each layer, after the layer's number. */
    default List<String> stackModules() {
        return linearModules().stream()
                .map(module -> module.replaceFirst("^.*?\\d+\\.", ""))
                .distinct()
                .toList();
    }

    /** The modules of {@link #linearModules} that are adapted where the user does not choose, by the end of their name. */
    List<String> usualTargets();

    /** Whether a change of a module, by its canonical name, can change the graph's outputs. */
    default boolean reads(String module) {
        return true;
    }

    /** Whether linear layer {@code module} is stored [in, out], as Conv1D does, and not [out, in]. */
    default boolean transposed(String module) {
        return false;
    }

    /** All tensors the graph needs by canonical name, those of its head included. */
    SequencedMap<String, Shape> requiredTensors();

    /** What stands before the names of its body's tensors in the checkpoints of a class with a head. */
    String prefix();

    /** Whether a tensor belongs to a head and not to the body, by its canonical name. */
    default boolean isOfHead(String canonical) {
        return Stream.of(Head.MODULE, Head.SCORE, "lm_head", "embed_out")
                .anyMatch(module -> canonical.startsWith(module + "."));
    }

    /** The classification head it has, if it has one. */
    Optional<Head> head();

    /** The tensors of a classification head by canonical name. */
    SequencedMap<String, Shape> headTensors(Head head);

    /** The pooling of transformers' class with a classification head, {@link #classifierClass}. */
    Pooling ownPooling();

    /** The class of transformers that has a classification head on this architecture. */
    String classifierClass();

    /** The canonical name of the embedding of its words, if it reads words. */
    default Optional<String> wordTable() {
        return Optional.empty();
    }

    /** The canonical name of the language modelling head that shares the weight of {@link #wordTable}, if it does. */
    default Optional<String> tiedHead() {
        return Optional.empty();
    }

    /** The pooling a new head takes where the user does not choose. */
    default Pooling defaultPooling(Predicate<String> present) {
        return ownPooling();
    }

    /** The layer that {@link Pooling#POOLER} needs, if the architecture has one. */
    default Optional<String> poolerModule() {
        return Optional.empty();
    }

    /** The tensors of that layer by canonical name. */
    default SequencedMap<String, Shape> poolerTensors() {
        return new Tensors().shapes();
    }

    /** What the result of {@link #forward} is called in an exported graph: the first of {@link #outputs}. */
    String outputName();

    /** For each axis of that result its name, or its size where that is the same in every run. */
    List<String> outputAxes();

    /** All outputs of an exported graph by name, each with its axes. */
    default SequencedMap<String, List<String>> outputs() {
        SequencedMap<String, List<String>> outputs = new LinkedHashMap<>();
        outputs.put(outputName(), outputAxes());
        return outputs;
    }

    /**
     * The tensors from which {@link #POOLED} is computed, by canonical name. Empty if transformers' class gives no such
     * output.
     */
    default SequencedMap<String, Shape> pooler() {
        return new Tensors().shapes();
    }

    /** The output of transformers' bare encoders beside the token states: [batch, hidden], the first state pooled. */
    String POOLED = "pooler_output";

    /**
     * Computes {@link #POOLED} of a model that has all tensors of {@link #pooler}.
     *
     * @param states [batch, sequence, hidden], what {@link #forward} returned
     */
    default <T> T pooled(Layers<T> model, T states) {
        throw new UnsupportedOperationException(outputName() + " is not pooled");
    }

    /** The forward pass but for a last layer that is computed for each token alone: {@link #forward} in two parts. */
    default <T> Unfinished<T> unfinished(Layers<T> model, Map<String, T> inputs) {
        return Unfinished.whole(forward(model, inputs));
    }

    /**
     * The forward pass.
     *
     * @param inputs by the names of {@link #inputs}; token types may be missing and are then 0
     * @return the logits: [batch, labels] where the model has a classification head, [batch, sequence, vocabulary] where it
     *     has a language modelling head, what {@link QueryDecoder} says where it is one; without a head the token states
     *     [batch, sequence, hidden]
     */
    <T> T forward(Layers<T> layers, Map<String, T> inputs);

    /** The forward pass with all of its {@link #outputs}. */
    default <T> SequencedMap<String, T> outputs(Layers<T> layers, Map<String, T> inputs) {
        SequencedMap<String, T> outputs = new LinkedHashMap<>();
        outputs.put(outputName(), forward(layers, inputs));
        return outputs;
    }
}
