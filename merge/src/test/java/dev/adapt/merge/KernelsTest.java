package dev.adapt.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;

@DisplayName("The kernels of a merge")
class KernelsTest {
    @RepeatedTest(60)
    @DisplayName("scalar and vector give the same bits, and both are close to float64")
    void scalarAndVectorAgree(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int rows = 1 + random.nextInt(13);
        int columns = 1 + random.nextInt(70);
        int rank = 1 + random.nextInt(repetition.getCurrentRepetition() % 3 == 0 ? 300 : 20);
        int firstRow = random.nextInt(5);
        float[] left = values(random, (firstRow + rows) * rank);
        float[] right = values(random, rank * columns);
        float[] weight = values(random, rows * columns);

        float[] scalar = weight.clone();
        new ScalarKernels().addProduct(scalar, rows, columns, left, firstRow, rank, right);
        float[] vector = weight.clone();
        new VectorKernels().addProduct(vector, rows, columns, left, firstRow, rank, right);

        assertArrayEquals(bits(scalar), bits(vector));
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                double exact = weight[row * columns + column];
                double magnitude = Math.abs(exact);
                for (int k = 0; k < rank; k++) {
                    double product = (double) left[(firstRow + row) * rank + k] * right[k * columns + column];
                    exact += product;
                    magnitude += Math.abs(product);
                }
                // Higham, Accuracy and Stability, (3.5): each of the rank + 1 roundings is within half a unit
                double bound = (rank + 1) * 0x1p-24 * magnitude * 1.01;
                assertEquals(exact, vector[row * columns + column], bound);
            }
        }
    }

    @Test
    @DisplayName("with the Vector API at hand, its kernels are chosen")
    void vectorsAreUsedWhereTheyAre() {
        assertInstanceOf(VectorKernels.class, Kernels.best());
    }

    private static float[] values(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static int[] bits(float[] values) {
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float.floatToRawIntBits(values[i]);
        }
        return bits;
    }
}
