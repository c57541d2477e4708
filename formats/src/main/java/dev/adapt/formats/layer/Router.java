package dev.adapt.formats.layer;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Tensors;
import java.util.Optional;

/**
 * Chooses experts for each token.
 *
 * @param layer a score for each expert
 * @param chosen how many experts a token passes through
 * @param scoring how scores become weights
 * @param normalised whether the weights of a token's experts are divided by their sum
 * @param groups the experts' groups, if only experts of the best groups are chosen
 * @param scale what weights are multiplied with in the end
 */
public record Router(
        LinearLayer layer, int chosen, Scoring scoring, boolean normalised, Optional<Groups> groups, double scale) {
    /** Taken from scores outside of the best groups: far more than scores and their biases, and a number in float16. */
    private static final double FAR_BELOW = 3e4;

    public enum Scoring {
        SOFTMAX,
        /** Softmax over the scores of the chosen experts alone. */
        SOFTMAX_OF_CHOSEN,
        SIGMOID
    }

    /**
     * Groups of experts, as in DeepSeek-V3 (arXiv 2412.19437).
     *
     * @param bias the tensor that is added to weights where experts are chosen
     * @param chosen how many groups experts are taken from: those whose two best experts have the largest sum
     */
    public record Groups(String bias, int count, int chosen) {}

    void addTensors(Tensors tensors, String block) {
        layer.addTensors(tensors, block);
        groups.ifPresent(own -> tensors.add(block + own.bias(), layer.out()));
    }

    /** The weight of each expert, 0 for those not chosen: [batch, sequence, experts]. */
    <T> T weights(Layers<T> model, String block, T x) {
        Ops<T> ops = model.ops();
        T scores = layer.apply(model, block, x);
        if (scoring == Scoring.SOFTMAX_OF_CHOSEN) {
            T kept = ops.largest(scores, chosen);
            return ops.mul(ops.softmax(ops.add(scores, ops.affine(kept, Float.MAX_VALUE, -Float.MAX_VALUE))), kept);
        }
        T all = scoring == Scoring.SIGMOID ? ops.activation(scores, Activation.SIGMOID) : ops.softmax(scores);
        T weights = ops.mul(all, ops.largest(groups.isPresent() ? ranked(model, block, all) : all, chosen));
        T even = normalised ? ops.div(weights, ops.affine(ops.sum(weights, 2), 1, 1e-20)) : weights;
        return scale == 1 ? even : ops.affine(even, scale, 0);
    }

    /** What experts are chosen by: below any other outside of the best groups. */
    private <T> T ranked(Layers<T> model, String block, T weights) {
        Ops<T> ops = model.ops();
        Groups own = groups.orElseThrow();
        T biased = ops.add(weights, model.weight(block + own.bias()));
        T grouped = ops.reshape(biased, 0, 0, own.count(), layer.out() / own.count());
        T best = ops.sum(ops.mul(grouped, ops.largest(grouped, 2)), 3);
        T kept = ops.largest(ops.reshape(best, 0, 0, own.count()), own.chosen());
        T outside = ops.affine(ops.reshape(kept, 0, 0, own.count(), 1), FAR_BELOW, -FAR_BELOW);
        return ops.reshape(ops.add(grouped, outside), 0, 0, layer.out());
    }
}
