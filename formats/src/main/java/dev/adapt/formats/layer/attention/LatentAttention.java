package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tensors;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/**
 * Multi-head latent attention (DeepSeek-AI, arXiv 2405.04434): queries, keys and values come from narrow latent vectors, and
 * the part of a key that turns is the same for all heads.
 *
 * @param still the elements of a query or key that do not turn, its first
 * @param values the heads of values
 * @param queries one layer, or one to the latent vector and one from it
 * @param narrow makes the latent vector of keys and values, and the turning part of the key
 * @param wide makes keys and values of the latent vector
 */
public record LatentAttention(
        int heads,
        int still,
        Heads values,
        List<LinearLayer> queries,
        LinearLayer narrow,
        LinearLayer wide,
        LinearLayer output,
        Norm norm,
        Rope rope,
        double scale,
        double dropout)
        implements DecoderAttention {
    private static final String QUERY_NORM = "self_attn.q_a_layernorm";
    private static final String KEY_NORM = "self_attn.kv_a_layernorm";

    @Override
    public List<LinearLayer> layers() {
        List<LinearLayer> layers = new ArrayList<>(queries);
        Collections.addAll(layers, narrow, wide, output);
        return layers;
    }

    @Override
    public void addTensors(Tensors tensors, String block) {
        layers().forEach(layer -> layer.addTensors(tensors, block));
        norm.addTensors(tensors, block + KEY_NORM, wide.in());
        if (queries.size() == 2) {
            norm.addTensors(tensors, block + QUERY_NORM, queries.getLast().in());
        }
    }

    private int width() {
        return still + rope.width();
    }

    @Override
    public CacheSpec cache(int layers) {
        return new CacheSpec(layers, heads, width(), values.width(), rope.switchesAfter());
    }

    @Override
    public <T> T apply(Layers<T> model, DecoderContext<T> context, String block, int index, T x) {
        Ops<T> ops = model.ops();
        T both = narrow.apply(model, block, x);
        T latent = norm.apply(model, ops.slice(both, 2, 0, wide.in()), block + KEY_NORM, wide.in());
        T turning = ops.reshape(ops.slice(both, 2, wide.in(), narrow.out()), 0, 1, -1, rope.width());
        T turned = turn(ops, context, turning);
        Heads joined = new Heads(heads, still + values.width());
        T keysAndValues = joined.split(ops, wide.apply(model, block, latent));
        T key = ops.concat(
                3, List.of(ops.slice(keysAndValues, 3, 0, still), ops.concat(1, Collections.nCopies(heads, turned))));
        T value = ops.slice(keysAndValues, 3, still, joined.width());
        T attended = ops.attention(
                query(model, context, block, x),
                model.cached(index + ".key", key),
                model.cached(index + ".value", value),
                context.bias(Optional.empty(), Optional.empty(), Optional.empty()),
                scale,
                dropout);
        return output.apply(model, block, values.join(ops, attended));
    }

    private <T> T query(Layers<T> model, DecoderContext<T> context, String block, T x) {
        Ops<T> ops = model.ops();
        T first = queries.getFirst().apply(model, block, x);
        int latent = queries.getLast().in();
        T flat = queries.size() == 1
                ? first
                : queries.getLast().apply(model, block, norm.apply(model, first, block + QUERY_NORM, latent));
        T split = new Heads(heads, width()).split(ops, flat);
        return ops.concat(
                3, List.of(ops.slice(split, 3, 0, still), turn(ops, context, ops.slice(split, 3, still, width()))));
    }

    private <T> T turn(Ops<T> ops, DecoderContext<T> context, T x) {
        return rope.apply(ops, x, context.turns(rope), rope.width());
    }
}
