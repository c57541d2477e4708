package dev.adapt.formats.graph;

import java.util.List;

/**
 * A classification head on the pooled token states: what its layers are is for {@link Architecture#headTensors}.
 *
 * @param labels by class index
 */
public record Head(Pooling pooling, List<String> labels) {
    /** The canonical module name of an encoder's head. */
    public static final String MODULE = "classifier";

    /** The canonical module name of a decoder's head: one linear layer without a bias. */
    public static final String SCORE = "score";

    public Head {
        labels = List.copyOf(labels);
    }
}
