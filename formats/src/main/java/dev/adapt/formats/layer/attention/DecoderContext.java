package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** What the layers of a model share in one forward pass, each computed once: rotary angles and attention biases. */
public final class DecoderContext<T> {
    private record Seen(Optional<Integer> window, Optional<FloatTensor> slopes, Optional<RelativeBias> relative) {}

    private final Layers<T> model;
    private final Ops<T> ops;
    private final Visibility<T> visibility;
    private final Map<Rope, Rope.Turns<T>> turns = new LinkedHashMap<>();
    private final Map<Object, T> shared = new LinkedHashMap<>();
    private final Map<Seen, Optional<T>> biases = new LinkedHashMap<>();

    public DecoderContext(Layers<T> model, Visibility<T> visibility) {
        this.model = model;
        this.ops = model.ops();
        this.visibility = visibility;
    }

    Visibility<T> visibility() {
        return visibility;
    }

    /** A tensor that several layers read, by a key of its own. */
    T shared(Object key, Supplier<T> value) {
        return shared.computeIfAbsent(key, absent -> ops.shared(value));
    }

    Rope.Turns<T> turns(Rope rope) {
        return turns.computeIfAbsent(rope, own -> ops.shared(() -> own.turns(ops, visibility.positions())));
    }

    /**
     * What is added to attention scores, broadcast to [batch, heads, sequence, keys], if anything is.
     *
     * @param window how many tokens back, itself included, a token sees
     * @param slopes of ALiBi (Press et al., arXiv 2108.12409), one for each head
     */
    Optional<T> bias(Optional<Integer> window, Optional<FloatTensor> slopes, Optional<RelativeBias> relative) {
        return biases.computeIfAbsent(
                new Seen(window, slopes, relative),
                own -> ops.shared(() -> Stream.of(
                                visibility.bias(window),
                                slopes.map(this::alibi),
                                relative.map(each -> each.apply(model, visibility.distances())))
                        .flatMap(Optional::stream)
                        .reduce(ops::add)));
    }

    /** [batch, heads, 1, keys]: as in transformers, a key's bias grows with its position, which softmax cannot tell. */
    private T alibi(FloatTensor slopes) {
        T places = ops.reshape(ops.toFloat(visibility.placesOfKeys()), 0, 1, 1, -1);
        long heads = slopes.values().length;
        return ops.mul(places, ops.constant(new FloatTensor(Shape.of(1, heads, 1, 1), slopes.values())));
    }
}
