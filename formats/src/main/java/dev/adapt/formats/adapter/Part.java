package dev.adapt.formats.adapter;

import dev.adapt.formats.tensor.Shape;

/**
 * A tensor of an adapter.
 *
 * @param name its key after the module's name, or, where all layers share it, after {@code base_model.}
 * @param shared whether all layers share it
 * @param trained whether training changes it; otherwise it stays as it began
 * @param stored whether the adapter's file holds it; otherwise it is regenerated
 */
public record Part(String name, Shape shape, Initial initial, boolean shared, boolean trained, boolean stored) {
    /** A part that belongs to one layer and is trained and stored. */
    static Part trained(String name, Shape shape, Initial initial) {
        return new Part(name, shape, initial, false, true, true);
    }

    /** A part that all layers share and the method regenerates. */
    static Part regenerated(String name, Shape shape, boolean stored) {
        return new Part(name, shape, new Initial.Regenerated(), true, false, stored);
    }
}
