package dev.adapt.formats.graph;

import java.util.List;

/**
 * A classification head: one linear layer, {@code classifier}, on the pooled token states.
 *
 * @param labels by class index
 */
public record Head(Pooling pooling, List<String> labels) {
    /** The canonical module name of the linear layer. */
    public static final String MODULE = "classifier";

    public Head {
        labels = List.copyOf(labels);
    }
}
