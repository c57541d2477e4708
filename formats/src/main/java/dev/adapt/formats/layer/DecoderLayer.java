package dev.adapt.formats.layer;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.layer.attention.DecoderAttention;
import dev.adapt.formats.layer.attention.DecoderContext;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/**
 * One layer of a transformer: attention and a feed-forward network, each added to the states.
 *
 * @param name what stands before the names of its tensors, with its number
 * @param hidden the width of token states
 * @param parallel whether both read the same states, and not one after the other
 * @param residualScale what both are multiplied with before they are added
 */
public record DecoderLayer(
        String name,
        int hidden,
        Norm norm,
        DecoderAttention attention,
        Branch attentionNorms,
        FeedForward feedForward,
        Branch feedForwardNorms,
        boolean parallel,
        double residualScale,
        double dropout) {
    /**
     * The normalisations around attention or the feed-forward network, by the names of their modules.
     *
     * @param before of what it reads
     * @param after of what it gives, before that is added
     * @param sum of the sum
     * @param gain the tensor that scales what it gives, element by element, before that is added
     */
    public record Branch(Optional<String> before, Optional<String> after, Optional<String> sum, Optional<String> gain) {
        public static final Branch NONE =
                new Branch(Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty());

        public static Branch before(String name) {
            return new Branch(Optional.of(name), Optional.empty(), Optional.empty(), Optional.empty());
        }

        public static Branch after(String name) {
            return new Branch(Optional.empty(), Optional.of(name), Optional.empty(), Optional.empty());
        }

        public static Branch around(String before, String after) {
            return new Branch(Optional.of(before), Optional.of(after), Optional.empty(), Optional.empty());
        }

        public static Branch ofSum(String name) {
            return new Branch(Optional.empty(), Optional.empty(), Optional.of(name), Optional.empty());
        }

        public Branch scaled(String tensor) {
            return new Branch(before, after, sum, Optional.of(tensor));
        }

        private Stream<String> names() {
            return Stream.of(before, after, sum).flatMap(Optional::stream);
        }
    }

    public List<LinearLayer> layers() {
        return Stream.concat(attention.layers().stream(), feedForward.layers().stream())
                .toList();
    }

    public void addTensors(Tensors tensors) {
        Stream.concat(attentionNorms.names(), feedForwardNorms.names())
                .distinct()
                .forEach(own -> norm.addTensors(tensors, name + own, hidden));
        Stream.of(attentionNorms, feedForwardNorms)
                .flatMap(branch -> branch.gain().stream())
                .forEach(own -> tensors.add(name + own, hidden));
        attention.addTensors(tensors, name);
        feedForward.addTensors(tensors, name);
    }

    /** All layers applied, one after the other; an interpreter may forget what each computes on the way. */
    public static <T> T all(List<DecoderLayer> layers, Layers<T> model, DecoderContext<T> context, T states) {
        T last = states;
        for (int i = 0; i < layers.size(); i++) {
            int index = i;
            DecoderLayer layer = layers.get(i);
            UnaryOperator<T> own = x -> layer.apply(model, context, index, x);
            // the keys and values of a cache outlive their layer
            boolean alone = !model.isCached() && !layer.attention().sharesLearned();
            last = alone ? model.ops().layer(last, own) : own.apply(last);
        }
        return last;
    }

    /**
     * The layer applied.
     *
     * @param index its number
     * @param states [batch, sequence, hidden], what it returns too
     */
    <T> T apply(Layers<T> model, DecoderContext<T> context, int index, T states) {
        Ops<T> ops = model.ops();
        T read = normed(model, states, attentionNorms.before());
        T attended = branch(model, attention.apply(model, context, name, index, read), attentionNorms);
        if (parallel) {
            boolean same = feedForwardNorms.before().equals(attentionNorms.before());
            T seen = same ? read : normed(model, states, feedForwardNorms.before());
            T product = branch(model, feedForward.apply(model, name, seen), feedForwardNorms);
            return ops.add(ops.add(states, attended), product);
        }
        T middle = normed(model, ops.add(states, attended), attentionNorms.sum());
        T seen = normed(model, middle, feedForwardNorms.before());
        T product = branch(model, feedForward.apply(model, name, seen), feedForwardNorms);
        return normed(model, ops.add(middle, product), feedForwardNorms.sum());
    }

    private <T> T branch(Layers<T> model, T x, Branch norms) {
        Ops<T> ops = model.ops();
        T normed = ops.dropout(normed(model, x, norms.after()), dropout);
        T scaled = residualScale == 1 ? normed : ops.affine(normed, residualScale, 0);
        return norms.gain().isPresent()
                ? ops.mul(scaled, model.weight(name + norms.gain().get()))
                : scaled;
    }

    private <T> T normed(Layers<T> model, T x, Optional<String> module) {
        return module.isPresent() ? norm.apply(model, x, name + module.get(), hidden) : x;
    }
}
