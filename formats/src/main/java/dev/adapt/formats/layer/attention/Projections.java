package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Beside;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import java.util.List;

/** The linear layers that make queries, keys and values of token states. */
public sealed interface Projections {
    /** One layer for each. */
    record Apart(LinearLayer query, LinearLayer key, LinearLayer value) implements Projections {
        @Override
        public List<LinearLayer> layers() {
            return List.of(query, key, value);
        }

        @Override
        public <T> Parts<T> apply(Layers<T> model, String block, T x) {
            Beside<T> beside = model.beside(x);
            return new Parts<>(query.apply(beside, block), key.apply(beside, block), value.apply(beside, block));
        }
    }

    /** One layer: all queries, then all keys, then all values. */
    record Joined(LinearLayer layer, Heads queries, Heads keys) implements Projections {
        @Override
        public List<LinearLayer> layers() {
            return List.of(layer);
        }

        @Override
        public <T> Parts<T> apply(Layers<T> model, String block, T x) {
            Ops<T> ops = model.ops();
            T all = layer.apply(model, block, x);
            int first = queries.total();
            int second = first + keys.total();
            return new Parts<>(
                    ops.slice(all, 2, 0, first),
                    ops.slice(all, 2, first, second),
                    ops.slice(all, 2, second, second + (long) keys.total()));
        }
    }

    /** One layer: for each head of keys the queries that share it, the key and the value. */
    record Grouped(LinearLayer layer, Heads queries, Heads keys) implements Projections {
        @Override
        public List<LinearLayer> layers() {
            return List.of(layer);
        }

        @Override
        public <T> Parts<T> apply(Layers<T> model, String block, T x) {
            Ops<T> ops = model.ops();
            int group = queries.count() / keys.count();
            T all = ops.reshape(layer.apply(model, block, x), 0, 0, keys.count(), group + 2L, keys.width());
            return new Parts<>(
                    ops.reshape(ops.slice(all, 3, 0, group), 0, 0, queries.total()),
                    ops.reshape(ops.slice(all, 3, group, group + 1L), 0, 0, keys.total()),
                    ops.reshape(ops.slice(all, 3, group + 1L, group + 2L), 0, 0, keys.total()));
        }
    }

    /** Heads side by side: [batch, sequence, heads·width]. */
    record Parts<T>(T query, T key, T value) {}

    List<LinearLayer> layers();

    /**
     * Queries, keys and values.
     *
     * @param block what stands before the names of the layers
     * @param x [batch, sequence, hidden]
     */
    <T> Parts<T> apply(Layers<T> model, String block, T x);
}
