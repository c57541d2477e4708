package dev.adapt.train.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.jni.JniUtils;
import dev.adapt.formats.UsageException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * Layers of which only inputs are kept for the backward pass (Chen et al., arXiv 1604.06174): each is computed a second time
 * when its gradients are needed, with what dropout drew the first time. A step takes a third more time, and memory for the
 * activations of one layer instead of all.
 */
public final class Recomputation {
    /**
     * A layer that was computed without a graph.
     *
     * @param given the states that it was given
     * @param start the same, cut off from what gave them
     */
    private record Layer(
            NDArray given, NDArray start, UnaryOperator<NDArray> function, Dropout.Mark drawn, NDArray result) {}

    private final NDManager step;
    private final Dropout dropout;
    private final List<Layer> layers = new ArrayList<>();

    /**
     * @param step closed by the caller after the backward pass
     * @param dropout of the layers
     */
    public Recomputation(NDManager step, Dropout dropout) {
        this.step = step;
        this.dropout = dropout;
    }

    /** What a layer gives; the backward pass ends there, until {@link #backward} goes on. */
    NDArray forward(NDArray states, UnaryOperator<NDArray> function) {
        NDArray start = Gradients.detached(step, states);
        Dropout.Mark mark = dropout.mark();
        JniUtils.setGradMode(false);
        NDArray result;
        try {
            result = function.apply(start);
        } finally {
            JniUtils.setGradMode(true);
        }
        // what dropped was used and is not needed before the layer is computed again
        dropout.freeAfter(mark);
        result.setRequiresGradient(true);
        layers.add(new Layer(states, start, function, mark, result));
        return result;
    }

    /**
     * The backward pass of all layers, last to first, after that of what was computed from the last.
     *
     * @throws UsageException if the model's graph does not say what its layers are
     */
    public void backward() {
        if (layers.isEmpty()) {
            throw new UsageException("recompute", "the model has no layers that can be computed again; leave it out");
        }
        Dropout.Mark end = dropout.mark();
        for (int i = layers.size() - 1; i >= 0; i--) {
            Layer layer = layers.get(i);
            dropout.returnTo(layer.drawn());
            try (NDManager own = step.newSubManager();
                    NDArray result = layer.function().apply(layer.start())) {
                Gradients.backward(result, Gradients.collected(own, layer.result()), true);
                // the result of the layer before collects it; before the first, what is trained of the embeddings takes
                // it
                Gradients.passOn(own, layer.start(), layer.given(), true);
            }
        }
        // the next step draws anew
        dropout.returnTo(end);
    }
}
