package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.tensor.FloatTensor;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;

/**
 * Self-attention of one layer.
 *
 * @param keys the heads of keys and values, which several heads of queries may share
 * @param norms those of queries and keys before they turn
 * @param rope how queries and keys turn, if they do
 * @param slopes of ALiBi, if it has it
 * @param relative biases by distance, if it has them
 * @param window how many tokens back, itself included, a token sees
 * @param cap scores s become cap·tanh(s/cap)
 * @param sinks the tensor with a score for each head that takes part in the softmax and has no value
 */
public record Attention(
        Heads queries,
        Heads keys,
        Projections projections,
        LinearLayer output,
        Optional<QueryKeyNorms> norms,
        Optional<Rope> rope,
        Optional<FloatTensor> slopes,
        Optional<RelativeBias> relative,
        Optional<Integer> window,
        double scale,
        Optional<Double> cap,
        Optional<String> sinks,
        double dropout)
        implements DecoderAttention {
    /** The normalisation of queries and keys. */
    public record QueryKeyNorms(Norm norm, String query, String key, Span span) {
        void addTensors(Tensors tensors, String module, Heads heads) {
            switch (span) {
                case HEAD -> norm.addTensors(tensors, module, heads.width());
                case EACH_HEAD -> tensors.matrix(module, heads.count(), heads.width());
                case ALL_HEADS -> norm.addTensors(tensors, module, heads.total());
            }
        }

        /** [batch, sequence, heads·width] to [batch, heads, sequence, width]. */
        <T> T apply(Layers<T> model, T flat, String module, Heads heads) {
            Ops<T> ops = model.ops();
            return switch (span) {
                case HEAD -> norm.apply(model, heads.split(ops, flat), module, heads.width());
                case EACH_HEAD -> {
                    T weights = ops.reshape(model.weight(module + ".weight"), 1, heads.count(), 1, heads.width());
                    yield ops.mul(norm.plain(ops, heads.split(ops, flat), heads.width()), weights);
                }
                case ALL_HEADS -> heads.split(ops, norm.apply(model, flat, module, heads.total()));
            };
        }
    }

    /** What is normalised at once, and by which weights. */
    public enum Span {
        /** A head, by weights that all heads share. */
        HEAD,
        /** A head, by its own weights. */
        EACH_HEAD,
        /** All heads together. */
        ALL_HEADS
    }

    @Override
    public List<LinearLayer> layers() {
        return Stream.concat(projections.layers().stream(), Stream.of(output)).toList();
    }

    @Override
    public void addTensors(Tensors tensors, String block) {
        layers().forEach(layer -> layer.addTensors(tensors, block));
        norms.ifPresent(own -> {
            own.addTensors(tensors, block + own.query(), queries);
            own.addTensors(tensors, block + own.key(), keys);
        });
        sinks.ifPresent(name -> tensors.add(block + name, queries.count()));
        relative.ifPresent(own -> own.addTensors(tensors));
    }

    @Override
    public CacheSpec cache(int layers) {
        return new CacheSpec(
                layers,
                keys.count(),
                keys.width(),
                keys.width(),
                rope.map(Rope::switchesAfter).orElse(OptionalInt.empty()));
    }

    @Override
    public boolean sharesLearned() {
        return relative.isPresent();
    }

    @Override
    public <T> T apply(Layers<T> model, DecoderContext<T> context, String block, int index, T x) {
        Ops<T> ops = model.ops();
        Projections.Parts<T> parts = projections.apply(model, block, x);
        T query = part(model, context, block, parts.query(), queries, norms.map(QueryKeyNorms::query));
        T key = part(model, context, block, parts.key(), keys, norms.map(QueryKeyNorms::key));
        T value = keys.split(ops, parts.value());
        T allKeys = repeated(ops, model.cached(index + ".key", key));
        T allValues = repeated(ops, model.cached(index + ".value", value));
        Optional<T> bias = context.bias(window, slopes, relative);
        T attended = cap.isEmpty() && sinks.isEmpty()
                ? ops.attention(query, allKeys, allValues, bias, scale, dropout)
                : attend(model, block, query, allKeys, allValues, bias);
        return output.apply(model, block, queries.join(ops, attended));
    }

    private <T> T part(
            Layers<T> model, DecoderContext<T> context, String block, T flat, Heads heads, Optional<String> norm) {
        Ops<T> ops = model.ops();
        T apart = norm.isPresent()
                ? norms.orElseThrow().apply(model, flat, block + norm.get(), heads)
                : heads.split(ops, flat);
        return rope.isPresent() ? rope.get().apply(ops, apart, context.turns(rope.get()), heads.width()) : apart;
    }

    private <T> T attend(Layers<T> model, String block, T query, T key, T value, Optional<T> bias) {
        Ops<T> ops = model.ops();
        T scores = ops.matMul(ops.affine(query, scale, 0), ops.transpose(key, 0, 1, 3, 2));
        T capped = cap.isPresent()
                ? ops.affine(ops.activation(ops.affine(scores, 1 / cap.get(), 0), Activation.TANH), cap.get(), 0)
                : scores;
        T seen = bias.isPresent() ? ops.add(capped, bias.get()) : capped;
        if (sinks.isEmpty()) {
            return ops.matMul(ops.dropout(ops.softmax(seen), dropout), value);
        }
        T sink = ops.reshape(model.weight(block + sinks.get()), 1, queries.count(), 1, 1);
        // the sum with zeros gives the sinks the shape of a column of scores
        T column = ops.add(ops.affine(ops.slice(capped, 3, 0, 1), 0, 0), sink);
        T weights = ops.tail(ops.softmax(ops.concat(3, List.of(column, seen))), seen);
        return ops.matMul(ops.dropout(weights, dropout), value);
    }

    /** Each head of keys or values as often as heads of queries share it: [batch, heads of queries, .., width]. */
    private <T> T repeated(Ops<T> ops, T shared) {
        int group = queries.count() / keys.count();
        if (group == 1) {
            return shared;
        }
        T apart = ops.reshape(shared, 0, 0, 1, -1, keys.width());
        return ops.reshape(ops.concat(2, Collections.nCopies(group, apart)), 0, queries.count(), -1, keys.width());
    }
}
