package dev.adapt.formats.layer;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.layer.attention.Causal;
import java.util.Optional;

/**
 * How tokens become the first states of a decoder.
 *
 * @param words the module of the embedding table
 * @param width of that table; narrower than the states where there is a projection
 * @param scale what embeddings are multiplied with
 * @param positions the table of learned positions, if there is one
 * @param projection from the table's width to that of the states
 * @param norm the module that normalises the sum
 */
public record TokenEmbedding(
        String words,
        int width,
        double scale,
        Optional<Positions> positions,
        Optional<LinearLayer> projection,
        Optional<String> norm,
        double dropout) {
    /**
     * A table of learned positions.
     *
     * @param offset added to a position to get its row
     * @param ofKept whether only tokens that the mask keeps are counted
     */
    public record Positions(String module, int rows, int offset, boolean ofKept) {}

    public void addTensors(Tensors tensors, int vocabulary, int hidden, Norm kind) {
        tensors.matrix(words, vocabulary, width);
        positions.ifPresent(own -> tensors.matrix(own.module(), own.rows(), hidden));
        projection.ifPresent(own -> own.addTensors(tensors, ""));
        norm.ifPresent(own -> kind.addTensors(tensors, own, hidden));
    }

    public <T> T apply(Layers<T> model, Causal<T> causal, Norm kind, int hidden) {
        Ops<T> ops = model.ops();
        T table = model.embedding(causal.ids(), words);
        T scaled = scale == 1 ? table : ops.affine(table, scale, 0);
        T wide = projection.isPresent() ? projection.get().apply(model, "", scaled) : scaled;
        T placed = positions.isPresent() ? ops.add(wide, placed(model, causal, positions.get())) : wide;
        T normed = norm.isPresent() ? kind.apply(model, placed, norm.get(), hidden) : placed;
        return ops.dropout(normed, dropout);
    }

    private <T> T placed(Layers<T> model, Causal<T> causal, Positions own) {
        Ops<T> ops = model.ops();
        T counted = own.ofKept() ? causal.positionsOfKept() : causal.positions();
        T rows = own.offset() == 0 ? counted : ops.add(counted, ops.integer(own.offset()));
        return model.embedding(rows, own.module());
    }
}
