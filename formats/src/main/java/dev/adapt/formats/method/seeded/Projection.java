package dev.adapt.formats.method.seeded;

import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.random.TorchRandom;
import dev.adapt.formats.tensor.NativeTensor;
import dev.adapt.formats.tensor.Shape;
import java.lang.foreign.ValueLayout;

/**
 * VeRA's shared matrices A [rank, in] and B [out, rank], bit for bit as PEFT draws them on torch's CPU generator: one
 * MT19937 stream, first A, then B, row-major, each Kaiming-uniform (a = 0) in the number of its columns.
 */
public record Projection(NativeTensor a, NativeTensor b) {
    /**
     * Draws both matrices.
     *
     * @param key PEFT's {@code projection_prng_key}; torch seeds the stream with its low 32 bits
     * @param in columns of A: the largest input width of all target modules
     * @param out rows of B: the largest output width of all target modules
     */
    public static Projection draw(long key, int rank, int in, int out, Rounding rounding) {
        return draw(key, rank, rank, in, out, rounding);
    }

    /**
     * Draws both matrices.
     *
     * @param rows of A, where they are more than the rank
     */
    static Projection draw(long key, int rows, int rank, int in, int out, Rounding rounding) {
        TorchRandom random = new TorchRandom(key);
        NativeTensor a = uniform(random, Shape.of(rows, in), rounding);
        NativeTensor b = uniform(random, Shape.of(out, rank), rounding);
        return new Projection(a, b);
    }

    private static NativeTensor uniform(TorchRandom random, Shape shape, Rounding rounding) {
        double bound = Math.sqrt(3.0) * (Math.sqrt(2.0) / Math.sqrt((double) shape.dim(1)));
        float low = (float) -bound;
        float high = (float) bound;
        NativeTensor drawn = NativeTensor.zeros(shape);
        for (long i = 0; i < shape.elements(); i++) {
            drawn.values().setAtIndex(ValueLayout.JAVA_FLOAT, i, random.uniform(low, high, rounding));
        }
        return drawn;
    }
}
