package dev.adapt.train.detect;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.adapt.train.djl.NDArrayOps;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * The loss of a set of predictions: each object is one query's to find, and all other queries are to find nothing. Focal
 * loss on the classes (Lin et al., arXiv 1708.02002, equation 5, γ = 2), L1 and GIoU on the boxes of the queries that are to
 * find one (Carion et al., arXiv 2005.12872, equations 2 and 9), each over the number of objects.
 */
final class SetPrediction {
    private final NDManager step;
    private final NDArrayOps ops;
    private final List<Matching> pairs;

    private SetPrediction(NDManager step, List<Matching> pairs) {
        this.step = step;
        this.ops = new NDArrayOps(step, Optional.empty());
        this.pairs = pairs;
    }

    /**
     * The loss of a batch.
     *
     * @param predictions [batch, queries, classes + 4]
     * @param pairs which query is to find what
     */
    static NDArray loss(NDManager step, NDArray predictions, List<Matching> pairs) {
        SetPrediction set = new SetPrediction(step, pairs);
        long width = predictions.getShape().get(2);
        NDArray flat = set.ops.reshape(predictions, -1, width);
        double objects = Math.max(1, pairs.size());
        NDArray classes = set.ops.slice(flat, 1, 0, width - Box.NUMBERS);
        NDArray loss = set.ops.affine(set.focal(classes), Matching.FOCAL / objects, 0);
        if (pairs.isEmpty()) {
            return loss;
        }
        NDArray boxes = set.boxes(set.ops.slice(flat, 1, width - Box.NUMBERS, width));
        NDArray l1 = set.ops.affine(set.l1(boxes), Matching.L1 / objects, 0);
        NDArray giou = set.ops.affine(set.giou(boxes), Matching.GIOU / objects, 0);
        return set.ops.add(loss, set.ops.add(l1, giou));
    }

    /** Of the classes' logits [queries, classes], the sum. */
    private NDArray focal(NDArray logits) {
        int classes = (int) logits.getShape().get(1);
        float[] signs = new float[(int) logits.size()];
        float[] weights = new float[signs.length];
        Arrays.fill(signs, -1);
        Arrays.fill(weights, (float) (1 - Matching.ALPHA));
        for (Matching pair : pairs) {
            int at = pair.query() * classes + pair.truth().label();
            signs[at] = 1;
            weights[at] = (float) Matching.ALPHA;
        }
        // with p the probability given to what is so, and z its logit: -log p = softplus(-z) and 1 - p = σ(-z)
        NDArray opposed = ops.affine(ops.mul(logits, step.create(signs, logits.getShape())), -1, 0);
        NDArray wrong = own(opposed.getNDArrayInternal().sigmoid());
        NDArray surprise = own(opposed.getNDArrayInternal().softPlus());
        NDArray weighted = ops.mul(step.create(weights, logits.getShape()), ops.mul(wrong, wrong));
        return own(ops.mul(weighted, surprise).sum());
    }

    /** The boxes of the queries that are to find something, [pairs, 4]: centre x, centre y, width, height. */
    private NDArray boxes(NDArray steps) {
        long[] queries = pairs.stream().mapToLong(Matching::query).toArray();
        NDArray own = ops.embedding(steps, step.create(queries));
        NDArray centres =
                column(pair -> pair.anchor().x(), pair -> pair.anchor().y());
        NDArray sizes =
                column(pair -> pair.anchor().width(), pair -> pair.anchor().height());
        NDArray moved = ops.add(centres, ops.mul(ops.slice(own, 1, 0, 2), sizes));
        NDArray grown = ops.mul(own(ops.slice(own, 1, 2, Box.NUMBERS).exp()), sizes);
        return ops.concat(1, List.of(moved, grown));
    }

    private NDArray l1(NDArray boxes) {
        NDArray centres = column(
                pair -> pair.truth().box().x(), pair -> pair.truth().box().y());
        NDArray sizes = column(
                pair -> pair.truth().box().width(), pair -> pair.truth().box().height());
        NDArray error = ops.add(boxes, ops.affine(ops.concat(1, List.of(centres, sizes)), -1, 0));
        return own(own(error.abs()).sum());
    }

    /** The sum of 1 - GIoU. */
    private NDArray giou(NDArray boxes) {
        NDArray low = corner(boxes, -0.5);
        NDArray high = corner(boxes, 0.5);
        NDArray trueLow = column(
                pair -> pair.truth().box().x() - pair.truth().box().width() / 2,
                pair -> pair.truth().box().y() - pair.truth().box().height() / 2);
        NDArray trueHigh = column(
                pair -> pair.truth().box().x() + pair.truth().box().width() / 2,
                pair -> pair.truth().box().y() + pair.truth().box().height() / 2);
        NDArray none = own(low.zerosLike());
        NDArray inner = ops.add(own(high.minimum(trueHigh)), negative(own(low.maximum(trueLow))));
        NDArray shared = area(own(inner.maximum(none)));
        NDArray around = area(ops.add(own(high.maximum(trueHigh)), negative(own(low.minimum(trueLow)))));
        NDArray both = ops.add(area(ops.add(high, negative(low))), area(ops.add(trueHigh, negative(trueLow))));
        NDArray union = ops.add(both, negative(shared));
        NDArray gap = ops.div(ops.add(around, negative(union)), around);
        NDArray giou = ops.add(ops.div(shared, union), negative(gap));
        return own(ops.affine(giou, -1, 1).sum());
    }

    private NDArray negative(NDArray x) {
        return ops.affine(x, -1, 0);
    }

    /** A corner [pairs, 2] of boxes [pairs, 4]. */
    private NDArray corner(NDArray boxes, double side) {
        return ops.add(ops.slice(boxes, 1, 0, 2), ops.affine(ops.slice(boxes, 1, 2, Box.NUMBERS), side, 0));
    }

    /** Widths and heights [pairs, 2] to areas [pairs, 1]. */
    private NDArray area(NDArray sides) {
        return ops.mul(ops.slice(sides, 1, 0, 1), ops.slice(sides, 1, 1, 2));
    }

    /** Two numbers of each pair, [pairs, 2]. */
    private NDArray column(ToDoubleFunction<Matching> first, ToDoubleFunction<Matching> second) {
        float[] values = new float[2 * pairs.size()];
        for (int i = 0; i < pairs.size(); i++) {
            values[2 * i] = (float) first.applyAsDouble(pairs.get(i));
            values[2 * i + 1] = (float) second.applyAsDouble(pairs.get(i));
        }
        return step.create(values, new Shape(pairs.size(), 2));
    }

    private NDArray own(NDArray result) {
        result.attach(step);
        return result;
    }
}
