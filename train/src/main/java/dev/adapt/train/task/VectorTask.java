package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import java.util.List;

/**
 * A task of vectors that stand for texts. Its loss compares all examples of a batch with each other, so that it is no mean over
 * examples: where replicas share a batch, it is computed once, from the vectors of all shares.
 */
public sealed interface VectorTask extends Task permits Similarity, Retrieval {
    /** How texts become vectors. */
    TextVectors vectors();

    /**
     * A share of a batch.
     *
     * @param vectors [rows, hidden], of its texts in the order of its inputs
     */
    record Share(NDArray vectors, Tensor goals) {}

    /** The loss of a batch, one number, from its shares. */
    NDArray loss(NDArrayOps ops, List<Share> shares);

    /** The vectors of a share's texts, [rows, hidden]. */
    default NDArray vectors(NDArrayOps ops, Unfinished<NDArray> output, Batch share) {
        return vectors().of(ops, output.output(), share);
    }

    /** That of a batch which is one share. */
    @Override
    default double loss(NDArrayOps ops, Unfinished<NDArray> output, Batch batch, Gradients gradients) {
        NDArray loss = loss(ops, List.of(new Share(vectors(ops, output, batch), batch.goals())));
        gradients.last(ops.manager(), loss);
        return loss.getFloat();
    }
}
