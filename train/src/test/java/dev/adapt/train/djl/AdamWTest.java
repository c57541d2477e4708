package dev.adapt.train.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("AdamW")
class AdamWTest {
    private static final int SIZE = 50;

    @Test
    @DisplayName("follows the algorithm in float64, with decay, clipping and a changing rate")
    void followsTheAlgorithm() {
        Random random = new Random(1);
        double decay = 0.05;
        double[] weight = new double[SIZE];
        double[] first = new double[SIZE];
        double[] second = new double[SIZE];
        float[] start = new float[SIZE];
        for (int i = 0; i < SIZE; i++) {
            start[i] = (float) random.nextGaussian();
            weight[i] = start[i];
        }
        try (NDManager manager = NDManager.newBaseManager()) {
            NDArray array = manager.create(start).duplicate();
            AdamW optimizer = new AdamW(decay);
            for (int t = 1; t <= 20; t++) {
                double rate = 0.1 / t;
                double clip = t % 2 == 0 ? 1 : 0.3;
                float[] gradient = new float[SIZE];
                for (int i = 0; i < SIZE; i++) {
                    gradient[i] = (float) (random.nextGaussian() * Math.pow(10, -(i % 6)));
                    double g = gradient[i] * clip;
                    weight[i] -= rate * decay * weight[i];
                    first[i] = 0.9 * first[i] + 0.1 * g;
                    second[i] = 0.999 * second[i] + 0.001 * g * g;
                    double unbiasedFirst = first[i] / (1 - Math.pow(0.9, t));
                    double unbiasedSecond = second[i] / (1 - Math.pow(0.999, t));
                    weight[i] -= rate * unbiasedFirst / (Math.sqrt(unbiasedSecond) + 1e-8);
                }
                try (NDManager step = manager.newSubManager()) {
                    optimizer.nextStep();
                    optimizer.update("w", array, step.create(gradient), clip, rate, step);
                }
            }
            float[] found = array.toFloatArray();
            for (int i = 0; i < SIZE; i++) {
                assertEquals(weight[i], found[i], 2e-6, "weight " + i);
            }
        }
    }
}
