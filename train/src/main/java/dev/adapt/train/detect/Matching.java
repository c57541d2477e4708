package dev.adapt.train.detect;

import dev.adapt.formats.tensor.FloatTensor;
import java.util.ArrayList;
import java.util.List;

/**
 * Which query of a batch is to find which object: the one-to-one matching of least cost in each image (Carion et al.,
 * "End-to-End Object Detection with Transformers", arXiv 2005.12872, equation 1), the cost of a pair being what its losses
 * would be.
 *
 * @param query of the batch's queries, counted through all images
 * @param anchor the box its features were sampled in
 */
record Matching(int query, Box anchor, Truth truth) {
    /** The weights of the focal loss, of L1 and of GIoU, as in Deformable DETR and AdaMixer. */
    static final double FOCAL = 2;

    /** See {@link #FOCAL}. */
    static final double L1 = 5;

    /** See {@link #FOCAL}. */
    static final double GIOU = 2;

    /** The focal loss's weight of what is there, α (Lin et al., arXiv 1708.02002, equation 5, with γ = 2). */
    static final double ALPHA = 0.25;

    /**
     * The pairs of a batch.
     *
     * @param predictions [batch, queries, classes + 4]
     * @throws ArithmeticException if one is not finite, or its box is not
     */
    static List<Matching> of(FloatTensor predictions, List<Scene> scenes) {
        List<List<Detection>> detections = Detection.of(predictions, scenes);
        int classes = (int) predictions.shape().dim(2) - Box.NUMBERS;
        List<Matching> pairs = new ArrayList<>();
        int first = 0;
        for (int image = 0; image < scenes.size(); image++) {
            Scene scene = scenes.get(image);
            int queries = scene.anchors().size();
            int[] chosen = Assignment.of(costs(detections.get(image), classes, scene));
            for (int i = 0; i < chosen.length; i++) {
                pairs.add(new Matching(
                        first + chosen[i],
                        scene.anchors().get(chosen[i]),
                        scene.truths().get(i)));
            }
            first += queries;
        }
        return pairs;
    }

    /** [objects][queries]. */
    private static double[][] costs(List<Detection> detections, int classes, Scene scene) {
        int queries = scene.anchors().size();
        double[][] costs = new double[scene.truths().size()][queries];
        for (int row = 0; row < costs.length; row++) {
            Truth truth = scene.truths().get(row);
            for (int query = 0; query < queries; query++) {
                costs[row][query] = cost(detections.get(query * classes + truth.label()), truth);
            }
        }
        return costs;
    }

    /** What changes in the losses of a query where it is to find the object and not nothing. */
    private static double cost(Detection detection, Truth truth) {
        // a score of 0 or 1 in float64 would cost infinity
        double p = Math.clamp(detection.score(), 1e-12, 1 - 1e-12);
        double there = ALPHA * (1 - p) * (1 - p) * -Math.log(p);
        double absent = (1 - ALPHA) * p * p * -Math.log(1 - p);
        double cost = FOCAL * (there - absent)
                + L1 * detection.box().distance(truth.box())
                - GIOU * detection.box().giou(truth.box());
        if (!Double.isFinite(cost)) {
            throw new ArithmeticException("the prediction " + detection + " has no finite cost");
        }
        return cost;
    }
}
