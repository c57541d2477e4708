package dev.adapt.formats.graph;

import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.algebra.OutGain;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BiConsumer;
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
    private final Map<String, Adapted<T>> changes;
    private final double adapterDropout;
    private final Optional<KeyValueCache<T>> cache;
    private final BiConsumer<String, T> seen;

    /** A layer's change, and the size of its weight [out, in]. */
    public record Adapted<T>(WeightChange<T> change, int out, int in) {
        /** The changed weight [out, in]. */
        T weight(Ops<T> ops, T frozen) {
            return change.changed(ops, frozen, Region.of(out, in));
        }
    }

    /**
     * A model's layers on an interpreter.
     *
     * @param weights the tensor of a canonical name
     * @param present whether the model has a tensor of that canonical name
     * @param changes by canonical module name; empty for a plain or merged model
     * @param adapterDropout on the input of changes of low rank, while training
     * @param cache where a decoder's keys and values come from and go to, if they are kept
     */
    public Layers(
            Ops<T> ops,
            Function<String, T> weights,
            Predicate<String> present,
            Map<String, Adapted<T>> changes,
            double adapterDropout,
            Optional<KeyValueCache<T>> cache) {
        this(ops, weights, present, changes, adapterDropout, cache, (module, output) -> {});
    }

    /**
     * The same, watched.
     *
     * @param seen takes what each linear layer gives, by the layer's canonical name, in the order they are computed
     */
    public Layers(
            Ops<T> ops,
            Function<String, T> weights,
            Predicate<String> present,
            Map<String, Adapted<T>> changes,
            double adapterDropout,
            Optional<KeyValueCache<T>> cache,
            BiConsumer<String, T> seen) {
        this.ops = ops;
        this.weights = weights;
        this.present = present;
        this.changes = Map.copyOf(changes);
        this.adapterDropout = adapterDropout;
        this.cache = cache;
        this.seen = seen;
    }

    /** The interpreter the layers run on. */
    public Ops<T> ops() {
        return ops;
    }

    /** A weight by its canonical name. */
    public T weight(String name) {
        return weights.apply(name);
    }

    /** Layers beside each other, as the projections to queries, keys and values are. */
    public Beside<T> beside(T x) {
        return new Beside<>(this, x);
    }

    /**
     * A stack of matrices, one for each of {@code count} experts, as the changes of its matrices leave it.
     *
     * @return [count, in, out]
     */
    public T stack(String name, int count) {
        T stack = weight(name);
        if (!changes.containsKey(name + "." + 0)) {
            return stack;
        }
        List<T> matrices = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            T stored = ops.slice(stack, 0, i, i + 1L);
            Adapted<T> own = changes.get(name + "." + i);
            matrices.add(
                    own == null
                            ? stored
                            : ops.reshape(
                                    ops.transpose(
                                            own.weight(
                                                    ops, ops.transpose(ops.reshape(stored, own.in(), own.out()), 1, 0)),
                                            1,
                                            0),
                                    1,
                                    own.in(),
                                    own.out()));
        }
        return ops.concat(0, matrices);
    }

    /** Linear layer {@code module}: x [.., in] to [.., out]; its bias is optional, its update is added. */
    public T linear(T x, String module) {
        return linear(x, module, module);
    }

    /** Linear layer {@code module} whose weight [out, in] is that of another module, as a tied head's is. */
    public T linear(T x, String module, String table) {
        T weight = weight(table + ".weight");
        return adapted(beside(x), module, () -> weight, (in, bias) -> ops.linear(in, weight, bias));
    }

    /** Linear layer {@code module} whose weight is stored [in, out]. */
    T conv1d(T x, String module) {
        return beside(x).conv1d(module);
    }

    /**
     * A convolution on patches that do not overlap, as the linear layer that it is.
     *
     * @param x [batch, patches, in], each patch in the order of the kernel's axes
     * @param out the channels it gives
     */
    public T flatKernel(T x, String module, int out) {
        T weight = ops.reshape(weight(module + ".weight"), out, -1);
        return adapted(beside(x), module, () -> weight, (in, bias) -> ops.linear(in, weight, bias));
    }

    /** Whether the model has a tensor of a canonical name. */
    public boolean has(String name) {
        return present.test(name);
    }

    /** A layer without its change. */
    interface Frozen<T> {
        T apply(T x, Optional<T> bias);
    }

    /**
     * A layer with its change.
     *
     * @param weight [out, in]
     */
    T adapted(Beside<T> beside, String module, Supplier<T> weight, Frozen<T> layer) {
        T output = changed(beside, module, weight, layer);
        seen.accept(module, output);
        return output;
    }

    private T changed(Beside<T> beside, String module, Supplier<T> weight, Frozen<T> layer) {
        T x = beside.x();
        Optional<T> bias = present.test(module + ".bias") ? Optional.of(weight(module + ".bias")) : Optional.empty();
        Adapted<T> own = changes.get(module);
        if (own == null) {
            return layer.apply(x, bias);
        }
        WeightChange<T> change = own.change();
        Optional<T> changedBias = change.biasOf(bias);
        return switch (change.delta()) {
            case LowRank<T> product
            when change.inGain().isEmpty() && !(change.outGain() instanceof OutGain.Vector) ->
                lowRank(beside, product, change.outGain(), own, weight, layer, changedBias);
            case Delta.None<T> _
            when !(change.outGain() instanceof OutGain.Magnitude) -> {
                T in = change.inGain().isPresent() ? ops.mul(x, change.inGain().get()) : x;
                yield change.outGain() instanceof OutGain.Vector<T>(T gain)
                        ? biased(ops.mul(layer.apply(in, Optional.empty()), gain), changedBias)
                        : layer.apply(in, changedBias);
            }
            default -> ops.linear(x, own.weight(ops, weight.get()), changedBias);
        };
    }

    private T biased(T y, Optional<T> bias) {
        return bias.isPresent() ? ops.add(y, bias.get()) : y;
    }

    private T lowRank(
            Beside<T> beside,
            LowRank<T> product,
            OutGain<T> gain,
            Adapted<T> own,
            Supplier<T> weight,
            Frozen<T> layer,
            Optional<T> bias) {
        T x = beside.x();
        T dropped = ops.dropout(x, adapterDropout);
        T delta = product.applyLeft(ops, beside.product(dropped, product.right()));
        if (!(gain instanceof OutGain.Magnitude<T> magnitude)) {
            return ops.add(layer.apply(x, bias), delta);
        }
        T whole = ops.add(layer.apply(dropped, Optional.empty()), delta);
        T rows = own.change().beforeOutGain(ops, weight.get(), Region.of(own.out(), own.in()));
        T scaled = ops.mul(whole, ops.reshape(magnitude.gains(ops, rows), -1));
        return beside.isWhole(dropped)
                ? biased(scaled, bias)
                // what dropout took away is not the adapter's: it passes the frozen layer, as in PEFT
                : ops.add(layer.apply(ops.add(x, ops.affine(dropped, -1, 0)), bias), scaled);
    }

    /** Whether keys and values of earlier tokens come before those of the sequence. */
    public boolean isCached() {
        return cache.isPresent();
    }

    /** Keys or values of all tokens so far, where they are kept; else {@code fresh} itself. */
    public T cached(String name, T fresh) {
        return cache.isPresent() ? cache.get().extend(ops, name, fresh) : fresh;
    }

    /** One of a model's inputs. */
    public static <T> T input(Map<String, T> inputs, InputSpec spec) {
        T input = inputs.get(spec.name());
        if (input == null) {
            throw new IllegalArgumentException("the model needs the input " + spec.name());
        }
        return input;
    }

    /** RMS normalisation {@code module} over the last axis. */
    T rmsNorm(T x, String module, double epsilon) {
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

    /** Rows of the table of {@code module} at integer ids, as its change leaves them. */
    public T embedding(T ids, String module) {
        T table = weights.apply(module + ".weight");
        Adapted<T> own = changes.get(module);
        if (own == null) {
            return ops.embedding(table, ids);
        }
        return own.change().lowRank().isPresent()
                ? ops.add(
                        ops.embedding(table, ids), own.change().lowRank().get().lookUp(ops, ids))
                : ops.embedding(table(module), ids);
    }

    /** The whole table of {@code module}, as its change leaves it. */
    private T table(String module) {
        T table = weights.apply(module + ".weight");
        Adapted<T> own = changes.get(module);
        return own == null ? table : ops.transpose(own.weight(ops, ops.transpose(table, 1, 0)), 1, 0);
    }
}
