package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Beside;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tensors;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Disentangled attention (He et al., arXiv 2006.03654, section 3.1), as DeBERTa-v2 and v3 have it: to the scores of contents
 * come those of a content with the embedding of the distance to another.
 *
 * @param positionKey makes the keys of distances that queries of contents meet, if they meet any
 * @param positionQuery makes the queries of distances that keys of contents meet, if they meet any
 * @param distances the embeddings of distances
 */
public record DisentangledAttention(
        Heads heads,
        LinearLayer query,
        LinearLayer key,
        LinearLayer value,
        LinearLayer output,
        Optional<LinearLayer> positionKey,
        Optional<LinearLayer> positionQuery,
        Distances distances,
        double dropout)
        implements DecoderAttention {
    /**
     * The embeddings of distances that all layers share.
     *
     * @param module a table [2·span, hidden]
     * @param norm the module that normalises it
     * @param span distances from -span to span - 1 have rows; those beyond have the last ones
     * @param exact distances within ±exact/2 have rows of their own, and those further away share them logarithmically up to
     *     {@code longest}; without it all have their own
     */
    public record Distances(
            String module,
            Optional<String> norm,
            Norm kind,
            int hidden,
            int span,
            Optional<Integer> exact,
            int longest) {
        void addTensors(Tensors tensors) {
            tensors.matrix(module, 2L * span, hidden);
            norm.ifPresent(own -> kind.addTensors(tensors, own, hidden));
        }

        /** The embeddings [1, 2·span, hidden]. */
        <T> T table(Layers<T> model) {
            Ops<T> ops = model.ops();
            long[] rows = LongStream.range(0, 2L * span).toArray();
            T stored = model.embedding(ops.integers(rows), module);
            T normed = norm.isPresent() ? kind.apply(model, stored, norm.get(), hidden) : stored;
            return ops.reshape(normed, 1, 2L * span, hidden);
        }

        /**
         * The row of each distance, integers [1, queries, keys].
         *
         * @param ahead how far each key is behind each query, integers [1, queries, keys]
         */
        <T> T rows(Ops<T> ops, T ahead) {
            int furthest = Math.max(longest, span);
            long[] rows = LongStream.rangeClosed(-furthest, furthest)
                    .map(each -> Math.clamp(bucket(-each) + span, 0, 2L * span - 1))
                    .toArray();
            return ops.lookUp(rows, ops.add(ops.clampIntegers(ahead, -furthest, furthest), ops.integer(furthest)));
        }

        private long bucket(long distance) {
            int middle = exact.orElse(2 * span) / 2;
            long away = Math.abs(distance);
            if (exact.isEmpty() || away <= middle) {
                return distance;
            }
            // in float32, as transformers computes it
            float ratio = (float) Math.log((float) away / middle) / (float) Math.log((float) (longest - 1) / middle);
            return Long.signum(distance) * ((long) Math.ceil(ratio * (middle - 1)) + middle);
        }
    }

    @Override
    public List<LinearLayer> layers() {
        return Stream.concat(
                        Stream.of(query, key, value, output),
                        Stream.of(positionKey, positionQuery).flatMap(Optional::stream))
                .distinct()
                .toList();
    }

    @Override
    public void addTensors(Tensors tensors, String block) {
        layers().forEach(layer -> layer.addTensors(tensors, block));
        distances.addTensors(tensors);
    }

    @Override
    public CacheSpec cache(int layers) {
        return new CacheSpec(layers, heads.count(), heads.width(), heads.width(), OptionalInt.empty());
    }

    @Override
    public boolean sharesLearned() {
        return true;
    }

    @Override
    public <T> T apply(Layers<T> model, DecoderContext<T> context, String block, int index, T x) {
        Ops<T> ops = model.ops();
        Beside<T> beside = model.beside(x);
        T queries = heads.split(ops, query.apply(beside, block));
        T keys = heads.split(ops, key.apply(beside, block));
        T values = heads.split(ops, value.apply(beside, block));
        T scores = ops.matMul(queries, turned(ops, keys));
        if (positionKey.isPresent()) {
            T ofDistances = ofDistances(model, context, block, positionKey.get());
            scores = ops.add(scores, ops.pick(ops.matMul(queries, turned(ops, ofDistances)), rows(ops, context)));
        }
        if (positionQuery.isPresent()) {
            T ofDistances = ofDistances(model, context, block, positionQuery.get());
            T each = ops.matMul(keys, turned(ops, ofDistances));
            T ofKeys = ops.pick(each, ops.transpose(rows(ops, context), 0, 2, 1));
            scores = ops.add(scores, turned(ops, ofKeys));
        }
        long kinds = 1
                + Stream.of(positionKey, positionQuery)
                        .filter(Optional::isPresent)
                        .count();
        T scaled = ops.affine(scores, 1 / Math.sqrt(heads.width() * (double) kinds), 0);
        T seen = ops.add(
                scaled,
                context.bias(Optional.empty(), Optional.empty(), Optional.empty())
                        .orElseThrow());
        T attended = ops.matMul(ops.dropout(ops.softmax(seen), dropout), values);
        return output.apply(model, block, heads.join(ops, attended));
    }

    private static <T> T turned(Ops<T> ops, T x) {
        return ops.transpose(x, 0, 1, 3, 2);
    }

    private <T> T ofDistances(Layers<T> model, DecoderContext<T> context, String block, LinearLayer layer) {
        T table = context.shared(distances, () -> distances.table(model));
        return heads.split(model.ops(), layer.apply(model, block, table));
    }

    private <T> T rows(Ops<T> ops, DecoderContext<T> context) {
        return context.shared(
                List.of(distances, "rows"),
                () -> distances.rows(ops, context.visibility().distances()));
    }
}
