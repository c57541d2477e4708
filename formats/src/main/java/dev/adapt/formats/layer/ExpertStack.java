package dev.adapt.formats.layer;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Tensors;
import java.util.List;

/**
 * A mixture of experts whose weights are stacked, as in gpt-oss (arXiv 2508.10925): gate and up lie in turn in one matrix
 * [hidden, 2·inner], both are bounded, and the product is {@code (up + 1)·gate·σ(1.702·gate)}. Every expert computes every
 * token, as in {@link Experts}.
 *
 * @param name of the stacks' module
 * @param limit the largest value of a gate, and the largest size of an up value
 */
public record ExpertStack(Router router, String name, int count, int hidden, int inner, double limit)
        implements FeedForward {
    @Override
    public List<LinearLayer> layers() {
        return List.of();
    }

    @Override
    public List<String> stacks() {
        return List.of(name + ".gate_up_proj", name + ".down_proj");
    }

    @Override
    public void addTensors(Tensors tensors, String block) {
        router.addTensors(tensors, block);
        tensors.add(block + name + ".gate_up_proj", count, hidden, 2L * inner)
                .add(block + name + ".gate_up_proj_bias", count, 2L * inner)
                .add(block + name + ".down_proj", count, inner, hidden)
                .add(block + name + ".down_proj_bias", count, hidden);
    }

    @Override
    public <T> T apply(Layers<T> model, String block, T x) {
        Ops<T> ops = model.ops();
        String own = block + name;
        T tokens = ops.reshape(x, 0, 1, -1, hidden);
        T both = ops.add(
                ops.matMul(tokens, model.stack(own + ".gate_up_proj", count)),
                ops.reshape(model.weight(own + ".gate_up_proj_bias"), count, 1, 2L * inner));
        T pairs = ops.reshape(both, 0, 0, -1, inner, 2);
        T gate = ops.clamp(half(ops, pairs, 0), -Float.MAX_VALUE, limit);
        T up = ops.clamp(half(ops, pairs, 1), -limit, limit);
        T product = ops.mul(ops.affine(up, 1, 1), ops.activation(gate, Activation.GELU_SIGMOID));
        T each = ops.add(
                ops.matMul(product, model.stack(own + ".down_proj", count)),
                ops.reshape(model.weight(own + ".down_proj_bias"), count, 1, hidden));
        T weights = ops.transpose(ops.reshape(router.weights(model, block, x), 0, 0, 0, 1), 0, 2, 1, 3);
        return ops.reshape(ops.sum(ops.mul(each, weights), 1), 0, -1, hidden);
    }

    private <T> T half(Ops<T> ops, T pairs, int which) {
        return ops.reshape(ops.slice(pairs, 4, which, which + 1L), 0, 0, -1, inner);
    }
}
