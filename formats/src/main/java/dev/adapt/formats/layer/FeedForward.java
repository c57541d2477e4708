package dev.adapt.formats.layer;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Beside;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Tensors;
import java.util.List;

/** The part of a decoder's layer that looks at each token alone. */
public sealed interface FeedForward
        permits FeedForward.Gated, FeedForward.GatedTogether, FeedForward.Plain, Experts, ExpertStack {
    /** {@code down(f(gate(x))·up(x))} (Shazeer, arXiv 2002.05202). */
    record Gated(LinearLayer gate, LinearLayer up, LinearLayer down, Activation activation) implements FeedForward {
        @Override
        public List<LinearLayer> layers() {
            return List.of(gate, up, down);
        }

        @Override
        public <T> T apply(Layers<T> model, String block, T x) {
            Ops<T> ops = model.ops();
            Beside<T> beside = model.beside(x);
            T opened = ops.activation(gate.apply(beside, block), activation);
            return down.apply(model, block, ops.mul(opened, up.apply(beside, block)));
        }
    }

    /** The same with gate and up in one layer, the gate first. */
    record GatedTogether(LinearLayer gateUp, LinearLayer down, Activation activation) implements FeedForward {
        @Override
        public List<LinearLayer> layers() {
            return List.of(gateUp, down);
        }

        @Override
        public <T> T apply(Layers<T> model, String block, T x) {
            Ops<T> ops = model.ops();
            T both = gateUp.apply(model, block, x);
            T opened = ops.activation(ops.slice(both, 2, 0, down.in()), activation);
            return down.apply(model, block, ops.mul(opened, ops.slice(both, 2, down.in(), 2L * down.in())));
        }
    }

    /** {@code down(f(up(x)))}. */
    record Plain(LinearLayer up, LinearLayer down, Activation activation) implements FeedForward {
        @Override
        public List<LinearLayer> layers() {
            return List.of(up, down);
        }

        @Override
        public <T> T apply(Layers<T> model, String block, T x) {
            return down.apply(model, block, model.ops().activation(up.apply(model, block, x), activation));
        }
    }

    /** Its linear layers that an adapter can adapt. */
    List<LinearLayer> layers();

    /** Its parameters that hold one matrix for each expert, or would in a checkpoint of transformers 5. */
    default List<String> stacks() {
        return List.of();
    }

    default void addTensors(Tensors tensors, String block) {
        layers().forEach(layer -> layer.addTensors(tensors, block));
    }

    /**
     * The network of each token.
     *
     * @param block what stands before the names of its tensors
     * @param x [batch, sequence, hidden], what it returns too
     */
    <T> T apply(Layers<T> model, String block, T x);
}
