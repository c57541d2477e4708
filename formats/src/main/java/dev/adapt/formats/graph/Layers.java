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
        return linear(
                x,
                weights.apply(module + ".weight"),
                present.test(bias) ? Optional.of(weights.apply(bias)) : Optional.empty(),
                Optional.ofNullable(updates.get(module)));
    }

    private T linear(T x, T weight, Optional<T> bias, Optional<LowRank<T>> adapted) {
        if (adapted.isEmpty()) {
            return ops.linear(x, weight, bias);
        }
        LowRank<T> update = adapted.get();
        T dropped = ops.dropout(x, adapterDropout);
        T delta = update.apply(ops, dropped);
        if (update.magnitude().isEmpty()) {
            return ops.add(ops.linear(x, weight, bias), delta);
        }
        T whole = ops.add(ops.linear(dropped, weight, Optional.empty()), delta);
        T scaled = ops.mul(whole, update.rowScale(ops, weight));
        return isSame(x, dropped)
                ? bias.map(own -> ops.add(scaled, own)).orElse(scaled)
                // what dropout took away is not the adapter's: it passes the frozen layer, as in PEFT
                : ops.add(ops.linear(ops.add(x, ops.affine(dropped, -1, 0)), weight, bias), scaled);
    }

    @SuppressWarnings("ReferenceEquality") // dropout that drops nothing gives back its input
    private boolean isSame(T x, T dropped) {
        return x == dropped;
    }

    /** Layer normalisation {@code module} over the last axis. */
    public T layerNorm(T x, String module, double epsilon) {
        return ops.layerNorm(x, weights.apply(module + ".weight"), weights.apply(module + ".bias"), epsilon);
    }

    /** Row {@code index} of the table of {@code module}, as [1, 1, width]. */
    public T row(long index, String module) {
        return ops.reshape(ops.slice(table(module), 0, index, index + 1), 1, 1, -1);
    }

    /** Rows of the table of {@code module} at integer ids; its update is added. */
    public T embedding(T ids, String module) {
        T table = weights.apply(module + ".weight");
        T rows = ops.embedding(table, ids);
        LowRank<T> update = updates.get(module);
        if (update == null) {
            return rows;
        }
        T adapted = ops.add(rows, update.lookUp(ops, ids));
        return update.magnitude().isPresent()
                ? ops.mul(adapted, update.rowScale(ops, ops.transpose(table, 1, 0)))
                : adapted;
    }

    /** The whole table of {@code module}, its update added. */
    private T table(String module) {
        T table = weights.apply(module + ".weight");
        LowRank<T> update = updates.get(module);
        if (update == null) {
            return table;
        }
        T delta = ops.matMul(update.foldedLeft(ops), update.foldedRight(ops));
        T adapted = ops.add(table, ops.transpose(delta, 1, 0));
        return update.magnitude().isPresent()
                ? ops.mul(adapted, update.rowScale(ops, ops.transpose(table, 1, 0)))
                : adapted;
    }
}
