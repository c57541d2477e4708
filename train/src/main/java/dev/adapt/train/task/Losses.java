package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.djl.NDArrayOps;
import java.util.List;

/** What training minimises, as DJL computes it. */
final class Losses {
    /** What leaves a candidate out of a softmax. */
    private static final float FAR_BELOW = -1e12f;

    private Losses() {}

    /**
     * Mean cross-entropy.
     *
     * @param logits [n, classes]
     * @param classes [n]
     */
    static NDArray crossEntropy(NDManager step, NDArray logits, long[] classes) {
        NDArray right = step.create(classes).reshape(-1, 1);
        NDArray mean = logits.logSoftmax(1).gather(right, 1).mean().neg();
        mean.attach(step);
        return mean;
    }

    /**
     * CoSENT: {@code log(1 + Σ exp(xⱼ − xᵢ))} over all pairs i and j of which i has the higher score.
     *
     * @param scaled cosines divided by the temperature, [n, 1]
     * @param scores [n]
     */
    static NDArray cosent(NDArrayOps ops, NDArray scaled, float[] scores) {
        int n = scores.length;
        float[] left = new float[n * n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                left[i * n + j] = scores[i] > scores[j] ? 0 : FAR_BELOW;
            }
        }
        NDArray differences = ops.subtract(ops.reshape(scaled, 1, n), ops.reshape(scaled, n, 1));
        NDArray counted = ops.add(differences, ops.constant(new FloatTensor(Shape.of(n, n), left)));
        NDArray zero = ops.constant(new FloatTensor(Shape.of(1), new float[1]));
        NDArray all = ops.concat(0, List.of(zero, ops.reshape(counted, (long) n * n)));
        return logOfSum(ops, all);
    }

    /** {@code log Σ exp(xₖ)} where x₀ is 0. */
    private static NDArray logOfSum(NDArrayOps ops, NDArray values) {
        NDArray logs = values.logSoftmax(0);
        logs.attach(ops.manager());
        return ops.affine(ops.slice(logs, 0, 0, 1), -1, 0);
    }

    /**
     * InfoNCE: the mean cross-entropy of each question's own passage among all.
     *
     * @param questions of length 1, [n, width]
     * @param passages of length 1, [m, width]; that of question i is passage i
     * @param without [n, m], whether a passage is no candidate for a question
     */
    static NDArray infoNce(
            NDArrayOps ops, NDArray questions, NDArray passages, double temperature, boolean[][] without) {
        int n = without.length;
        int m = without[0].length;
        float[] left = new float[n * m];
        long[] own = new long[n];
        for (int i = 0; i < n; i++) {
            own[i] = i;
            for (int j = 0; j < m; j++) {
                left[i * m + j] = without[i][j] ? FAR_BELOW : 0;
            }
        }
        NDArray cosines = ops.matMul(questions, ops.transpose(passages, 1, 0));
        NDArray logits = ops.affine(cosines, 1 / temperature, 0);
        NDArray counted = ops.add(logits, ops.constant(new FloatTensor(Shape.of(n, m), left)));
        return crossEntropy(ops.manager(), counted, own);
    }

    /** The tokens of a batch that have a target class: their positions in [batch × sequence], and the classes. */
    static final class Places {
        private final long[] at;
        private final long[] classes;

        private Places(long[] at, long[] classes) {
            this.at = at;
            this.classes = classes;
        }

        /** Reads the pairs of position and class, [tokens, 2], that a batch has as its goals. */
        static Places of(Batch batch) {
            long[] goals = integers(batch.goals());
            long[] at = new long[goals.length / 2];
            long[] classes = new long[at.length];
            for (int i = 0; i < at.length; i++) {
                at[i] = goals[2 * i];
                classes[i] = goals[2 * i + 1];
            }
            return new Places(at, classes);
        }

        /** One class for each token. */
        long[] classes() {
            return classes;
        }

        /** The states [tokens, width] of these tokens, from {@code states} [batch, sequence, width]. */
        NDArray rows(NDArrayOps ops, NDArray states) {
            NDArray all = ops.reshape(states, -1, states.getShape().get(2));
            return ops.embedding(all, ops.manager().create(at));
        }
    }

    /**
     * Mean squared error.
     *
     * @param output [n, 1]
     * @param numbers [n]
     */
    static NDArray squaredError(NDManager step, NDArray output, float[] numbers) {
        NDArray error = output.reshape(-1).sub(step.create(numbers));
        error.attach(step);
        NDArray mean = error.square().mean();
        mean.attach(step);
        return mean;
    }

    /** Goals that are integers. */
    static long[] integers(Tensor goals) {
        if (goals instanceof LongTensor integers) {
            return integers.values();
        }
        throw new IllegalArgumentException("these goals are no integers");
    }
}
