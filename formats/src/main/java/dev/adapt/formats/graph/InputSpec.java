package dev.adapt.formats.graph;

import java.util.List;

/**
 * An integer input of a model, named as Hugging Face exporters name it.
 *
 * @param axes the name of each dynamic axis
 */
public record InputSpec(String name, List<String> axes) {
    public InputSpec {
        axes = List.copyOf(axes);
    }
}
