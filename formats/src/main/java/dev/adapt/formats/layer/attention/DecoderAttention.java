package dev.adapt.formats.layer.attention;

import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Tensors;
import java.util.List;

/** The self-attention of one layer. */
public sealed interface DecoderAttention permits Attention, LatentAttention, DisentangledAttention {
    List<LinearLayer> layers();

    void addTensors(Tensors tensors, String block);

    /** What so many layers like it keep. */
    CacheSpec cache(int layers);

    /** Whether it reads learned tensors that other layers read too, so that no layer can be computed without the others. */
    default boolean sharesLearned() {
        return false;
    }

    /**
     * Attention of a sequence over itself.
     *
     * @param block what stands before the names of its tensors
     * @param index the number of its layer, by which keys and values are kept
     * @param x [batch, sequence, hidden], what it returns too
     */
    <T> T apply(Layers<T> model, DecoderContext<T> context, String block, int index, T x);
}
