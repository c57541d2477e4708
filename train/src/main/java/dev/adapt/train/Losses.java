package dev.adapt.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
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
