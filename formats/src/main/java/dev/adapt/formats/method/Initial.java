package dev.adapt.formats.method;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Svd;
import dev.adapt.formats.tensor.Tensor;
import java.util.Arrays;
import java.util.Optional;
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

    /**
     * The frozen weight's first left singular vectors as columns, or its right ones as rows, each times a power of its
     * singular value.
     */
    record Singular(boolean left, double power) implements Initial {}

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

    /**
     * What follows from the base and the parts before it: computed whenever an adapter meets its base, and never stored.
     *
     * @param otherwise why there may be no such tensor, in words that follow the module's name
     */
    record OfBase(BaseDerivation derivation, String otherwise) implements Initial {}

    /** Computes a part from the base. */
    interface BaseDerivation {
        /**
         * The tensor, if the base and the parts agree on one.
         *
         * @param part the tensor of a part that comes before it, by name
         * @param weight the layer's weight [out, in]
         * @param bias the layer's bias [out], where it has one
         */
        Optional<FloatTensor> of(Function<String, Tensor> part, FloatTensor weight, Optional<FloatTensor> bias);
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
            case OfBase _ -> throw new IllegalArgumentException("this part follows from the base");
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
