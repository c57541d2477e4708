package dev.adapt.formats.method;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A method of changing the weights of a base: its hyperparameters, the tensors it needs, and the change it makes of them.
 * Training, storage, merging and export all follow from these three.
 *
 * <p>A method is one file, and one entry in {@code Methods.ALL}.
 */
public interface AdapterMethod {
    /** What PEFT calls the method. */
    String peftType();

    /** What its paper calls the method. */
    default String title() {
        return peftType();
    }

    /** The names of the parts that belong to a layer or a stack: keys of the adapter's file end with them. */
    List<String> partNames();

    /**
     * What PEFT's keys name between a module that the method holds whole and its tensors; empty for most methods, which hold
     * none but {@code modules_to_save}.
     */
    default Optional<String> wholeModules() {
        return Optional.empty();
    }

    /** The fields of its config that it knows, beside those all of PEFT's methods have. */
    Set<String> configFields();

    /**
     * Whether an adapted module is an embedding.
     *
     * @param part the stored tensor of a part's name
     */
    default boolean adaptsEmbedding(Function<String, @Nullable Tensor> part) {
        return false;
    }

    /** The rank of the change of a target; 0 where the method has none. */
    default int rank(Target target) {
        return 0;
    }

    /** On the input of the update, while training. */
    default double dropout() {
        return 0;
    }

    /** Why it cannot be trained here, in words that follow its name; empty where it can. */
    default Optional<String> untrainable() {
        return Optional.empty();
    }

    /** Whether a part holds integers. */
    default boolean isInteger(String part) {
        return false;
    }

    /**
     * What the integers of a part must stay below, for each of its rows or once for all of them; none for parts without
     * integers.
     */
    default List<Integer> integerLimits(String part, Target target) {
        return List.of();
    }

    /**
     * Whether a head that is tied to an embedding table follows it where the table changes.
     *
     * @param part the stored tensor of the table by a part's name
     */
    default boolean keepsTies(Function<String, @Nullable Tensor> part) {
        return false;
    }

    /** Whether training began by taking from a target's weight what the method's tensors then held. */
    default boolean reducesBase(Target target) {
        return false;
    }

    /**
     * Whether a module is adapted though {@code target_modules} does not name it.
     *
     * @param part the stored tensor of a part's name
     */
    default boolean adaptsUnnamed(Function<String, @Nullable Tensor> part) {
        return false;
    }

    /** The tensors that a layer's update is made of: its own, those of its stack, then those all layers share. */
    List<Part> parts(Target target, List<Target> all);

    /** Whether a layer has no tensor of its own. All layers of its stack must then have one shape. */
    default boolean sharesStacks(Target target) {
        return parts(target, List.of(target)).stream().noneMatch(part -> part.scope() == Part.Scope.LAYER);
    }

    /**
     * The change of a target's weight.
     *
     * @param part the tensor of a part's name
     * @param weight the frozen weight [out, in], for methods whose factors come from it
     */
    <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight);

    /** Whether every delta it makes is a {@link dev.adapt.formats.algebra.LowRank} product, without a gain of the inputs. */
    default boolean hasLowRankDelta() {
        return true;
    }

    /** The same of the change of one target. */
    default boolean hasLowRankDelta(Target target) {
        return hasLowRankDelta();
    }

    /** Whether every change it makes adds a matrix and does nothing else, so that changes can be weighted and summed. */
    default boolean isAdditive() {
        return true;
    }

    /** Whether every change it makes adds a product of low rank and does nothing else. */
    default boolean isLowRank() {
        return hasLowRankDelta() && isAdditive();
    }

    /** How much of a weight an element of the changed weight depends on. */
    default Delta.Scope scope() {
        return Delta.Scope.ELEMENT;
    }

    /** How much of a target's weight an element of the changed weight depends on. */
    default Delta.Scope scope(Target target) {
        return scope();
    }

    /** Whether it changes the biases of the layers it adapts. */
    default boolean changesBias() {
        return false;
    }

    /** Writes the method's own fields, all that PEFT 0.21 writes for it. */
    void describe(ObjectNode config);

    /**
     * The shape [out, in] of a layer, if the method's stored tensors tell it.
     *
     * @param part the stored tensor of a part's name
     */
    default Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        return Optional.empty();
    }

    /** The shape [out, in] of a product of matrices [out, r] and [r, in]; empty where one is missing or is no matrix. */
    static Optional<Shape> productShape(@Nullable Tensor left, @Nullable Tensor right) {
        return left == null
                        || right == null
                        || left.shape().rank() != 2
                        || right.shape().rank() != 2
                ? Optional.empty()
                : Optional.of(Shape.of(left.shape().dim(0), right.shape().dim(1)));
    }

    /** What keeps the method from a target, in words that follow the target's name; empty where nothing does. */
    default Optional<String> misfit(Target target) {
        return undefined(target).or(() -> target.unlessRank(rank(target), Math.min(target.in(), target.out())));
    }

    /** What keeps the method from stacks of experts, in words that follow a stack's name; empty where nothing does. */
    default Optional<String> unlessStacked() {
        return Optional.of("is a stack of experts, of which only LoRA adapts all at once, as in PEFT");
    }

    /** What in a target leaves the method undefined, trained or read, in words that follow the target's name. */
    default Optional<String> undefined(Target target) {
        return Optional.empty();
    }

    /** The same method, with what only the stored tensors tell, or where PEFT's config may say something else. */
    default AdapterMethod asStored(StoredParts stored) {
        return this;
    }

    /** What older versions of PEFT called its parts, by their names then. */
    default Map<String, String> oldPartNames() {
        return Map.of();
    }

    /**
     * Why a tensor cannot be read that is none of the parts, for those of older versions.
     *
     * @param name its name after the module's
     */
    default Optional<String> outdated(String name) {
        return Optional.empty();
    }

    /** Parts that PEFT's files repeat for each layer though all layers share them, by name. */
    default Set<String> copies() {
        return Set.of();
    }

    /**
     * Whether PEFT rounds what it regenerates to the dtype of the base's weights, so that an adapter that it trained on a base
     * of half precision was trained with the rounded tensors.
     */
    default boolean castsRegenerated() {
        return false;
    }

    /** Whether its tensors depend on the order in which the model's layers come. */
    default boolean numbersLayers() {
        return false;
    }

    /** Whether no layer has a tensor of its own in the adapter's file, so that the config alone names the layers. */
    default boolean namesNoLayers() {
        return false;
    }

    /** The tensors that are computed and not trained, by {@link Part#id}: empty for most methods. */
    default Map<String, Tensor> regenerate(List<Target> all) {
        return Map.of();
    }

    /** The field of its config that says whether the file holds what {@link #regenerate} gives; empty where it gives nothing. */
    default Optional<String> storingField() {
        return Optional.empty();
    }

    /** Whether its file holds nothing that could be left out, such as where a seed draws what PEFT never stores. */
    default boolean isSmallest() {
        return false;
    }

    /** A smaller form that makes the same changes, if it has one. */
    default Optional<Compaction> compaction() {
        return Optional.empty();
    }

    /**
     * Layers for which {@link #regenerate} gives what these stored tensors are, if the tensors that all layers share tell it.
     *
     * @param part the stored tensor of a part's name
     */
    default List<Target> widest(Function<String, @Nullable Tensor> part) {
        return List.of();
    }

    /** The same method, as it is on other processors: what {@link #regenerate} gives may differ in its last bits. */
    default List<AdapterMethod> otherRoundings() {
        return List.of();
    }

    /** What the file's metadata must say, beyond the config, for {@link #regenerate} to give the same again. */
    default Map<String, String> metadata() {
        return Map.of();
    }
}
