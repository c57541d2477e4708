package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.SparseFormat;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;

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

    /**
     * Mean cross-entropy of some tokens: only their states are looked at, as a vocabulary is wide.
     *
     * @param logits [batch, sequence, classes]
     * @param goals for each of these tokens its place among all of the batch, and its class
     */
    static NDArray crossEntropyOfTokens(NDManager step, NDArray logits, long[] goals) {
        long[] at = new long[goals.length / 2];
        long[] classes = new long[at.length];
        for (int i = 0; i < at.length; i++) {
            at[i] = goals[2 * i];
            classes[i] = goals[2 * i + 1];
        }
        NDArray all = logits.reshape(-1, logits.getShape().get(2));
        all.attach(step);
        NDArray chosen = all.getNDArrayInternal()
                .embedding(step.create(at), all, SparseFormat.DENSE)
                .singletonOrThrow();
        chosen.attach(step);
        return crossEntropy(step, chosen, classes);
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
