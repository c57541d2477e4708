package dev.adapt.merge.plan;

import dev.adapt.formats.algebra.Frequencies;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.InverseFourier;
import dev.adapt.merge.kernel.Strided;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** What all tiles of a weight are computed from, converted once: as float32, and as the kernels read it. */
public final class Held {
    private final Map<Tensor, FloatTensor> widened = Collections.synchronizedMap(new IdentityHashMap<>());
    private final Map<Tensor, Boolean> ordered = Collections.synchronizedMap(new IdentityHashMap<>());
    private final Map<Seen, float[]> packed = new ConcurrentHashMap<>();
    private final Map<Seen, Strided> joined = new ConcurrentHashMap<>();
    private final Map<Frequencies, Optional<InverseFourier>> fourier = new ConcurrentHashMap<>();

    /** A tensor, as one of the same array, shape and strides. */
    private record Seen(Strided tensor) {
        @Override
        @SuppressWarnings("ReferenceEquality") // two arrays of the same numbers may not stay the same
        public boolean equals(@Nullable Object other) {
            return other instanceof Seen(Strided own)
                    && own.values() == tensor.values()
                    && own.first() == tensor.first()
                    && Arrays.equals(own.dims(), tensor.dims())
                    && Arrays.equals(own.strides(), tensor.strides());
        }

        @Override
        public int hashCode() {
            return 31 * System.identityHashCode(tensor.values()) + tensor.first();
        }
    }

    /** A tensor's elements as float32. */
    FloatTensor floats(Tensor tensor) {
        return tensor instanceof FloatTensor same ? same : widened.computeIfAbsent(tensor, FloatTensor::of);
    }

    /** A right factor as the kernels read it. */
    float[] packed(Strided tensor, Function<Strided, float[]> pack) {
        return packed.computeIfAbsent(new Seen(tensor), seen -> pack.apply(seen.tensor()));
    }

    /** Blocks joined to larger ones. */
    Strided joined(Strided blocks, UnaryOperator<Strided> join) {
        return joined.computeIfAbsent(new Seen(blocks), seen -> join.apply(seen.tensor()));
    }

    /** A fast transform of these frequencies, where there is one. */
    Optional<InverseFourier> fourier(Frequencies at) {
        return fourier.computeIfAbsent(at, InverseFourier::of);
    }

    /** What is known of a tensor's order, or what {@code look} finds. */
    boolean isOrdered(Tensor tensor, BooleanSupplier look) {
        return ordered.computeIfAbsent(tensor, absent -> look.getAsBoolean());
    }
}
