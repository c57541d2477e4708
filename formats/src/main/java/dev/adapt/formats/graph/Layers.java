package dev.adapt.formats.graph;

import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;

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
    private final Optional<KeyValueCache<T>> cache;
    private Optional<Product<T>> latest = Optional.empty();

    /** {@code value = x·rightᵀ}. */
    private record Product<T>(T x, T right, T value) {}

    /**
     * @param weights the tensor of a canonical name
     * @param present whether the model has a tensor of that canonical name
     * @param updates by canonical module name; empty for a plain or merged model
     * @param adapterDropout on the input of the updates, while training
     * @param cache where a decoder's keys and values come from and go to, if they are kept
     */
    public Layers(
            Ops<T> ops,
            Function<String, T> weights,
            Predicate<String> present,
            Map<String, LowRank<T>> updates,
            double adapterDropout,
            Optional<KeyValueCache<T>> cache) {
        this.ops = ops;
        this.weights = weights;
        this.present = present;
        this.updates = Map.copyOf(updates);
        this.adapterDropout = adapterDropout;
        this.cache = cache;
    }

    /** The interpreter the layers run on. */
    public Ops<T> ops() {
        return ops;
    }

    /** A weight by its canonical name. */
    public T weight(String name) {
        return weights.apply(name);
    }

    /** Linear layer {@code module}: x [.., in] to [.., out]; its bias is optional, its update is added. */
    public T linear(T x, String module) {
        return linear(x, module, module);
    }

    /** Linear layer {@code module} whose weight [out, in] is that of another module, as a tied head's is. */
    public T linear(T x, String module, String table) {
        T weight = weight(table + ".weight");
        return adapted(x, module, () -> weight, (in, bias) -> ops.linear(in, weight, bias));
    }

    /** Linear layer {@code module} whose weight is stored [in, out]. */
    public T conv1d(T x, String module) {
        T weight = weight(module + ".weight");
        return adapted(x, module, () -> ops.transpose(weight, 1, 0), (in, bias) -> ops.conv1d(in, weight, bias));
    }

    /** A layer without its update. */
    private interface Frozen<T> {
        T apply(T x, Optional<T> bias);
    }

    /**
     * A layer with its update.
     *
     * @param weight [out, in]
     */
    private T adapted(T x, String module, Supplier<T> weight, Frozen<T> layer) {
        Optional<T> bias = present.test(module + ".bias") ? Optional.of(weight(module + ".bias")) : Optional.empty();
        LowRank<T> update = updates.get(module);
        if (update == null) {
            return layer.apply(x, bias);
        }
        T dropped = ops.dropout(x, adapterDropout);
        T delta = update.applyLeft(ops, product(dropped, update.right()));
        if (update.magnitude().isEmpty()) {
            return ops.add(layer.apply(x, bias), delta);
        }
        T whole = ops.add(layer.apply(dropped, Optional.empty()), delta);
        T scaled = ops.mul(whole, update.rowScale(ops, weight.get()));
        return isSame(x, dropped)
                ? bias.map(own -> ops.add(scaled, own)).orElse(scaled)
                // what dropout took away is not the adapter's: it passes the frozen layer, as in PEFT
                : ops.add(layer.apply(ops.add(x, ops.affine(dropped, -1, 0)), bias), scaled);
    }

    /** {@code x·rightᵀ}, once for layers beside each other that share their right factor, as VeRA's do. */
    private T product(T x, T right) {
        Product<T> own = latest.filter(known -> isSame(known.x(), x) && isSame(known.right(), right))
                .orElseGet(() -> new Product<>(x, right, ops.linear(x, right, Optional.empty())));
        latest = Optional.of(own);
        return own.value();
    }

    @SuppressWarnings("ReferenceEquality") // dropout that drops nothing gives back its input
    private boolean isSame(T left, T right) {
        return left == right;
    }

    /** Whether keys and values of earlier tokens come before those of the sequence. */
    boolean isCached() {
        return cache.isPresent();
    }

    /** Keys or values of all tokens so far, where they are kept; else {@code fresh} itself. */
    T cached(String name, T fresh) {
        return cache.isPresent() ? cache.get().extend(ops, name, fresh) : fresh;
    }

    /** One of a model's inputs. */
    static <T> T input(Map<String, T> inputs, InputSpec spec) {
        T input = inputs.get(spec.name());
        if (input == null) {
            throw new IllegalArgumentException("the model needs the input " + spec.name());
        }
        return input;
    }

    /** RMS normalisation {@code module} over the last axis. */
    public T rmsNorm(T x, String module, double epsilon) {
        return ops.rmsNorm(x, weight(module + ".weight"), epsilon);
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
