package dev.adapt.formats.graph;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/**
 * The keys and values that a decoder keeps of earlier tokens: two tensors [batch, heads, past, width] for each layer.
 *
 * @param heads of keys and values, which may be fewer than those of queries
 * @param keyWidth the width of a head of keys
 * @param valueWidth the width of a head of values
 * @param rebuiltAfter so many tokens, where the keys of a longer text turn otherwise than those that were kept: a text that
 *     grows beyond them is computed again from its start
 */
public record CacheSpec(int layers, int heads, int keyWidth, int valueWidth, OptionalInt rebuiltAfter) {
    /** What stands before these names where keys and values are inputs of an exported graph. */
    public static final String PAST = "past_key_values.";

    /** The same for outputs. */
    public static final String PRESENT = "present.";

    /** The width of a head in the tensor of one of {@link #names}. */
    public int width(String name) {
        return name.endsWith(".key") ? keyWidth : valueWidth;
    }

    /** The names in a {@link KeyValueCache}: {@code 0.key}, {@code 0.value}, {@code 1.key}, … */
    public List<String> names() {
        List<String> names = new ArrayList<>();
        for (int layer = 0; layer < layers; layer++) {
            names.add(layer + ".key");
            names.add(layer + ".value");
        }
        return names;
    }
}
