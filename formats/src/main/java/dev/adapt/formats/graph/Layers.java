package dev.adapt.formats.graph;

import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * The layers of one model as an architecture sees them: weights by canonical name, and beside each adapted linear layer
 * its update.
 */
public final class Layers<T> {
    private final Ops<T> ops;
    private final Function<String, T> weights;
    private final Predicate<String> present;
    private final Map<String, LowRank<T>> updates;
    private final double adapterDropout;

    /**
     * @param weights the tensor of a canonical name
     * @param present whether the model has a tensor of that canonical name
     * @param updates by canonical module name; empty for a plain or merged model
     * @param adapterDropout on the input of the updates, while training
     */
    public Layers(
            Ops<T> ops,
            Function<String, T> weights,
            Predicate<String> present,
            Map<String, LowRank<T>> updates,
            double adapterDropout) {
        this.ops = ops;
        this.weights = weights;
        this.present = present;
        this.updates = Map.copyOf(updates);
        this.adapterDropout = adapterDropout;
    }

    /** The interpreter the layers run on. */
    public Ops<T> ops() {
        return ops;
    }

    /** Linear layer {@code module}: x [.., in] to [.., out]; its bias is optional, its update is added. */
    public T linear(T x, String module) {
        String bias = module + ".bias";
        Optional<T> optionalBias = present.test(bias) ? Optional.of(weights.apply(bias)) : Optional.empty();
        T y = ops.linear(x, weights.apply(module + ".weight"), optionalBias);
        LowRank<T> update = updates.get(module);
        return update == null ? y : ops.add(y, update.apply(ops, ops.dropout(x, adapterDropout)));
    }

    /** Layer normalisation {@code module} over the last axis. */
    public T layerNorm(T x, String module, double epsilon) {
        return ops.layerNorm(x, weights.apply(module + ".weight"), weights.apply(module + ".bias"), epsilon);
    }

    /** Row {@code index} of the table of {@code module}, as [1, 1, width]. */
    public T row(long index, String module) {
        return ops.reshape(ops.slice(weights.apply(module + ".weight"), 0, index, index + 1), 1, 1, -1);
    }

    /** Rows of the table of {@code module} at integer ids. */
    public T embedding(T ids, String module) {
        return ops.embedding(weights.apply(module + ".weight"), ids);
    }
}
