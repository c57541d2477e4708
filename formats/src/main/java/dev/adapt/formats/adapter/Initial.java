package dev.adapt.formats.adapter;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.random.RandomGenerator;

/** What a part of an adapter holds before training. */
public sealed interface Initial {
    /** One value everywhere. */
    record Constant(float value) implements Initial {}

    /** Uniform in ±1/√fanIn: Kaiming's with a = √5, as PEFT initialises LoRA's A. */
    record KaimingUniform(int fanIn) implements Initial {}

    /** What {@link AdapterMethod#regenerate} computes. */
    record Regenerated() implements Initial {}

    /**
     * The tensor before training.
     *
     * @param random where a random start draws from
     */
    default FloatTensor values(Shape shape, RandomGenerator random) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        switch (this) {
            case Constant(float value) -> Arrays.fill(values, value);
            case KaimingUniform(int fanIn) -> {
                float bound = (float) (1 / Math.sqrt(fanIn));
                for (int i = 0; i < values.length; i++) {
                    values[i] = random.nextFloat(-bound, bound);
                }
            }
            case Regenerated() -> throw new IllegalArgumentException("the method regenerates this part");
        }
        return new FloatTensor(shape, values);
    }
}
