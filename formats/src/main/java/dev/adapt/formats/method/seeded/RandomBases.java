package dev.adapt.formats.method.seeded;

import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.random.TorchRandom;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;

/**
 * RandLoRA's shared matrices A [rank, 1, least] and B [most, n, rank], as PEFT draws them: uniform in bfloat16, and divided by
 * their standard deviation, or, if they are sparse, of -1, 0 and 1 and divided by it.
 */
record RandomBases(int rank, int least, int most, Rounding rounding) {
    FloatTensor denseA(TorchRandom random) {
        return normalised(drawn(random, Shape.of(rank, 1, least)));
    }

    /** Drawn product by product, each [most, 1, rank]. */
    FloatTensor denseB(TorchRandom random, int products) {
        float[] values = new float[most * products * rank];
        for (int product = 0; product < products; product++) {
            float[] one = drawn(random, Shape.of(most, 1, rank)).values();
            for (int row = 0; row < most; row++) {
                System.arraycopy(one, row * rank, values, (row * products + product) * rank, rank);
            }
        }
        return normalised(new FloatTensor(Shape.of(most, products, rank), values));
    }

    /** Kaiming-uniform (a = √5), rounded to bfloat16; what is rounded to the upper bound becomes the lower one. */
    private FloatTensor drawn(TorchRandom random, Shape shape) {
        double bound = Math.sqrt(3.0) * (Math.sqrt(2.0 / 6) / Math.sqrt((double) shape.dim(2)));
        float low = (float) -bound;
        float high = (float) bound;
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            float value = rounded(random.uniform(low, high, rounding));
            values[i] = value == rounded(high) ? rounded(low) : value;
        }
        return new FloatTensor(shape, values);
    }

    private static FloatTensor normalised(FloatTensor drawn) {
        float deviation = rounded((float) deviation(drawn.values()));
        float[] values = new float[drawn.values().length];
        for (int i = 0; i < values.length; i++) {
            values[i] = rounded(drawn.values()[i] / deviation);
        }
        return new FloatTensor(drawn.shape(), values);
    }

    private static double deviation(float[] values) {
        double sum = 0;
        for (float value : values) {
            sum += value;
        }
        double mean = sum / values.length;
        double squares = 0;
        for (float value : values) {
            squares += (value - mean) * (value - mean);
        }
        return Math.sqrt(squares / (values.length - 1));
    }

    /** The nearest bfloat16. */
    private static float rounded(float x) {
        int bits = Float.floatToRawIntBits(x);
        return Float.intBitsToFloat((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000);
    }

    FloatTensor sparseA(TorchRandom random, double scarcity) {
        return sparse(random, Shape.of(rank, 1, least), scarcity);
    }

    FloatTensor sparseB(TorchRandom random, int products, double scarcity) {
        return sparse(random, Shape.of(most, products, rank), scarcity);
    }

    /** -1 and 1 for a share of 1/(2·scarcity) each. */
    private static FloatTensor sparse(TorchRandom random, Shape shape, double scarcity) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        float low = (float) (1 / (2 * scarcity));
        float high = (float) (1 - 1 / (2 * scarcity));
        for (int i = 0; i < values.length; i++) {
            float x = random.unit();
            values[i] = x < low ? -1 : x > high ? 1 : 0;
        }
        float deviation = (float) deviation(values);
        for (int i = 0; i < values.length; i++) {
            values[i] /= deviation;
        }
        return new FloatTensor(shape, values);
    }
}
