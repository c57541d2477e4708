package dev.adapt.formats.graph;

import dev.adapt.formats.algebra.Ops;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/**
 * The keys and values of a decoder's layers, so that a token is computed once: those of earlier tokens go in, those of all
 * tokens come out.
 *
 * @param past [batch, heads, past, width] by name, {@code 0.key}, {@code 0.value}, {@code 1.key}, …; empty for the first
 *     tokens
 * @param present [batch, heads, past + sequence, width] by the same names, filled by the forward pass
 */
public record KeyValueCache<T>(Map<String, T> past, SequencedMap<String, T> present) {
    /** A cache before a forward pass. */
    public KeyValueCache(Map<String, T> past) {
        this(Map.copyOf(past), new LinkedHashMap<>());
    }

    T extend(Ops<T> ops, String name, T fresh) {
        T before = past.get(name);
        T all = before == null ? fresh : ops.concat(2, List.of(before, fresh));
        present.put(name, all);
        return all;
    }
}
