package dev.adapt.formats.graph;

import dev.adapt.formats.algebra.Ops;
import java.util.IdentityHashMap;
import java.util.Optional;

/**
 * Layers beside each other, which all take {@code x}. A product {@code x·rightᵀ} whose right factor is the very same tensor in
 * several of them, as VeRA's is, is computed once.
 */
public final class Beside<T> {
    private final Layers<T> layers;
    private final Ops<T> ops;
    private final T x;
    private final IdentityHashMap<T, T> products = new IdentityHashMap<>();

    Beside(Layers<T> layers, T x) {
        this.layers = layers;
        this.ops = layers.ops();
        this.x = x;
    }

    T x() {
        return x;
    }

    /** Linear layer {@code module}: its bias is optional, its update is added. */
    T linear(String module) {
        T weight = layers.weight(module + ".weight");
        return layers.adapted(this, module, () -> weight, (in, bias) -> ops.linear(in, weight, bias));
    }

    /** Linear layer {@code module} whose weight is stored [in, out]. */
    T conv1d(String module) {
        T weight = layers.weight(module + ".weight");
        return layers.adapted(
                this, module, () -> ops.transpose(weight, 1, 0), (in, bias) -> ops.conv1d(in, weight, bias));
    }

    /** What dropout left of x times a right factor. */
    T product(T dropped, T right) {
        return isWhole(dropped)
                ? products.computeIfAbsent(right, own -> ops.linear(x, own, Optional.empty()))
                : ops.linear(dropped, right, Optional.empty());
    }

    /** Whether dropout left all of x: where it drops nothing it gives back its input. */
    @SuppressWarnings("ReferenceEquality")
    boolean isWhole(T dropped) {
        return dropped == x;
    }
}
