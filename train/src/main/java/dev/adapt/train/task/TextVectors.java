package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.NDArrayOps;
import java.util.ArrayList;
import java.util.List;

/**
 * The vectors of texts that are trained: how token states become one, and which of its first elements must do alone.
 *
 * @param dimensions the loss is the sum over vectors cut to each of these sizes, beside the whole ones (Matryoshka
 *     representation learning, Kusupati et al., arXiv 2205.13147)
 */
public record TextVectors(SentenceModules modules, List<Integer> dimensions) {
    /** Added to the square of a length: no text has a vector as short, and a division by 0 would end training. */
    private static final double LEAST_SQUARE = 1e-24;

    public TextVectors {
        dimensions = List.copyOf(dimensions);
        for (int dimension : dimensions) {
            if (dimension < 1) {
                throw new UsageException("dimensions", "expected numbers of at least 1, found " + dimension);
            }
        }
    }

    /**
     * Refuses a base that gives no token states, or narrower ones than the dimensions ask for.
     *
     * @throws UsageException naming the task
     */
    void requireStates(String task, Source source) {
        String output = source.architecture().outputName();
        if (source.architecture().tokens().isEmpty() || !output.equals("last_hidden_state")) {
            throw new UsageException(
                    "task " + task,
                    "the base " + source.base() + " (" + source.config().modelType() + ") gives " + output
                            + ", and vectors of texts are made of token states; give a bare encoder of texts");
        }
        int hidden = source.architecture().hidden();
        for (int dimension : dimensions) {
            if (dimension > hidden) {
                throw new UsageException(
                        "dimensions", "expected at most the base's " + hidden + ", found " + dimension);
            }
        }
    }

    /**
     * The vectors of a batch.
     *
     * @param states of its tokens, [rows, sequence, hidden]
     * @return [rows, hidden]
     */
    NDArray of(NDArrayOps ops, NDArray states, Batch batch) {
        Tensor mask = batch.inputs().get(InputSpec.MASK.name());
        if (!(mask instanceof LongTensor kept)) {
            throw new IllegalArgumentException("the batch has no attention mask");
        }
        NDArray own = ops.reshape(ops.integers(kept.values()), kept.shape().toArray());
        return modules.pooling().pool(ops, states, own);
    }

    /** The vectors at length 1: whole, and cut to each dimension. */
    List<NDArray> ofLengthOne(NDArrayOps ops, NDArray vectors) {
        int hidden = (int) vectors.getShape().get(1);
        List<NDArray> all = new ArrayList<>(List.of(lengthOne(ops, vectors)));
        dimensions.stream()
                .distinct()
                .filter(dimension -> dimension < hidden)
                .forEach(dimension -> all.add(lengthOne(ops, ops.slice(vectors, 1, 0, dimension))));
        return all;
    }

    private static NDArray lengthOne(NDArrayOps ops, NDArray vectors) {
        NDArray squares = ops.sum(ops.mul(vectors, vectors), 1);
        return ops.div(vectors, ops.sqrt(ops.affine(squares, 1, LEAST_SQUARE)));
    }
}
