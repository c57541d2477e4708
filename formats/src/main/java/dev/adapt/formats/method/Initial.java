package dev.adapt.formats.method;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Svd;
import java.util.Arrays;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;

/** What a part of an adapter holds before training. */
public sealed interface Initial {
    /** One value everywhere. */
    record Constant(float value) implements Initial {}

    /** Uniform in ±1/√fanIn: Kaiming's with a = √5, as PEFT initialises LoRA's A. */
    record KaimingUniform(int fanIn) implements Initial {}

    /** Normal, of mean 0. */
    record Normal(double deviation) implements Initial {}

    /** Uniform in ±bound. */
    record Uniform(double bound) implements Initial {}

    /** The Euclidean norm of each row of the frozen weight [out, in]. */
    record RowNorms() implements Initial {}

    /**
     * The frozen weight's first left singular vectors as columns, or its right ones as rows, each times a power of its
     * singular value.
     */
    record Singular(boolean left, double power) implements Initial {}

    /** What {@link AdapterMethod#regenerate} computes. */
    record Regenerated() implements Initial {}

    /**
     * The tensor before training.
     *
     * @param random where a random start draws from
     * @param weight the layer's frozen weight [out, in], for starts that come from it
     */
    default FloatTensor values(Shape shape, RandomGenerator random, Supplier<FloatTensor> weight) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        switch (this) {
            case Constant(float value) -> Arrays.fill(values, value);
            case KaimingUniform(int fanIn) -> {
                float bound = (float) (1 / Math.sqrt(fanIn));
                for (int i = 0; i < values.length; i++) {
                    values[i] = random.nextFloat(-bound, bound);
                }
            }
            case Normal(double deviation) -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) (deviation * random.nextGaussian());
                }
            }
            case Uniform(double bound) -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) random.nextDouble(-bound, bound);
                }
            }
            case RowNorms() -> rowNorms(weight.get(), values);
            case Singular(boolean left, double power) ->
                singular(shape, Svd.of(DoubleTensor.of(weight.get())), left, power, values);
            case Regenerated() -> throw new IllegalArgumentException("the method regenerates this part");
        }
        return new FloatTensor(shape, values);
    }

    private static void singular(Shape shape, Svd svd, boolean left, double power, float[] values) {
        DoubleTensor vectors = left
                ? svd.leftColumns(0, Math.toIntExact(shape.dim(1)), power)
                : svd.rightRows(0, Math.toIntExact(shape.dim(0)), power);
        System.arraycopy(vectors.toFloats(), 0, values, 0, values.length);
    }

    private static void rowNorms(FloatTensor weight, float[] norms) {
        int in = weight.values().length / norms.length;
        for (int row = 0; row < norms.length; row++) {
            double squares = 0;
            for (int i = row * in; i < (row + 1) * in; i++) {
                squares += (double) weight.values()[i] * weight.values()[i];
            }
            norms[row] = (float) Math.sqrt(squares);
        }
    }
}
