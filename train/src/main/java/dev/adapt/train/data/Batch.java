package dev.adapt.train.data;

import dev.adapt.formats.tensor.Tensor;
import java.util.Map;

/**
 * Examples that a model sees in one step.
 *
 * @param inputs by the names the model gives them, each [batch, ..]
 * @param goals what is to be learned, as the task lays it out; its first axis counts what the loss is a mean over
 */
public record Batch(Map<String, Tensor> inputs, Tensor goals) {
    /** The number of examples. */
    public int size() {
        return Math.toIntExact(inputs.values().iterator().next().shape().dim(0));
    }

    /** What the loss is a mean over: examples, or tokens. */
    public long units() {
        return goals.shape().dim(0);
    }
}
