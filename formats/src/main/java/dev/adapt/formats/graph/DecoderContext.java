package dev.adapt.formats.graph;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** What the layers of a decoder share in one forward pass, each computed once: rotary angles and attention biases. */
final class DecoderContext<T> {
    private record Seen(Optional<Integer> window, Optional<FloatTensor> slopes) {}

    private final Ops<T> ops;
    private final Causal<T> causal;
    private final Map<Rope, Rope.Turns<T>> turns = new LinkedHashMap<>();
    private final Map<Seen, T> biases = new LinkedHashMap<>();

    DecoderContext(Ops<T> ops, Causal<T> causal) {
        this.ops = ops;
        this.causal = causal;
    }

    Rope.Turns<T> turns(Rope rope) {
        return turns.computeIfAbsent(rope, own -> ops.shared(() -> own.turns(ops, causal.positions())));
    }

    /**
     * What is added to attention scores, broadcast to [batch, heads, sequence, keys].
     *
     * @param window how many tokens back, itself included, a token sees
     * @param slopes of ALiBi (Press et al., arXiv 2108.12409), one for each head
     */
    T bias(Optional<Integer> window, Optional<FloatTensor> slopes) {
        return biases.computeIfAbsent(new Seen(window, slopes), own -> ops.shared(() -> fresh(own)));
    }

    private T fresh(Seen own) {
        T seen = own.window().isPresent() ? causal.bias(own.window().get()) : causal.bias();
        return own.slopes().map(each -> ops.add(seen, alibi(each))).orElse(seen);
    }

    /** [batch, heads, 1, keys]: as in transformers, a key's bias grows with its position, which softmax cannot tell. */
    private T alibi(FloatTensor slopes) {
        T places = ops.reshape(ops.toFloat(causal.placesOfKeys()), 0, 1, 1, -1);
        long heads = slopes.values().length;
        return ops.mul(places, ops.constant(new FloatTensor(Shape.of(1, heads, 1, 1), slopes.values())));
    }
}
