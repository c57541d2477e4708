package dev.adapt.formats.method;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;

/** What a part of an adapter holds before training. */
public sealed interface Initial {
    /** One value everywhere. */
    record Constant(float value) implements Initial {}

    /** Uniform in ±1/√fanIn: Kaiming's with a = √5, as PEFT initialises LoRA's A. */
    record KaimingUniform(int fanIn) implements Initial {}

    /** Each column twice, one beside the other; uniform in ±1/√fanIn, as PEFT initialises pairs of reflections. */
    record TwinColumns(int fanIn) implements Initial {}

    /** Normal, of mean 0. */
    record Normal(double deviation) implements Initial {}

    /** Uniform in ±bound. */
    record Uniform(double bound) implements Initial {}

    /** The Euclidean norm of each row of the frozen weight [out, in]. */
    record RowNorms() implements Initial {}

    /** The Euclidean norm of each column of the frozen weight [out, in]. */
    record ColumnNorms() implements Initial {}

    /** What follows from the frozen weight and the parts before it. */
    record Derived(Derivation derivation) implements Initial {}

    /** Computes a part's start. */
    interface Derivation {
        /**
         * The tensor before training.
         *
         * @param part the start of a part that comes before it, by name
         * @param weight the layer's frozen weight [out, in]
         */
        FloatTensor of(Function<String, FloatTensor> part, FloatTensor weight);
    }

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
            case TwinColumns(int fanIn) -> {
                float bound = (float) (1 / Math.sqrt(fanIn));
                for (int i = 0; i < values.length; i += 2) {
                    values[i] = random.nextFloat(-bound, bound);
                    values[i + 1] = values[i];
                }
            }
            case Normal(double deviation) -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) (deviation * random.nextGaussian());
                }
            }
            case Uniform(double bound) -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = random.nextFloat((float) -bound, (float) bound);
                }
            }
            case RowNorms() -> rowNorms(weight.get(), values);
            case ColumnNorms() -> rowNorms(weight.get().transposed(), values);
            case Derived _ -> throw new IllegalArgumentException("this part follows from others");
            case Regenerated() -> throw new IllegalArgumentException("the method regenerates this part");
        }
        return new FloatTensor(shape, values);
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
