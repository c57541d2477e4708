package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.djl.NDArrayOps;

/** What training minimises, as DJL computes it. */
final class Losses {
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
