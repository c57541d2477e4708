package dev.adapt.train.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("PyTorch, as it is set up,")
class TorchTest {
    @ParameterizedTest(name = "{0} × {1} times {1} × {2}")
    @CsvSource({"5, 7, 3", "64, 64, 64", "96, 384, 8", "96, 8, 384", "200, 300, 150", "512, 384, 1536"})
    @DisplayName("multiplies matrices in float32, whichever library it has do so")
    void float32Products(int rows, int inner, int columns) {
        Torch.engine();
        Random random = new Random(5);
        float[] left = random(rows * inner, random);
        float[] right = random(inner * columns, random);
        try (NDManager manager = NDManager.newBaseManager("PyTorch")) {
            NDArray a = manager.create(left, new Shape(rows, inner));
            float[] products =
                    a.matMul(manager.create(right, new Shape(inner, columns))).toFloatArray();
            for (int i = 0; i < rows; i++) {
                for (int j = 0; j < columns; j++) {
                    double exact = 0;
                    double size = 0;
                    for (int k = 0; k < inner; k++) {
                        double product = (double) left[i * inner + k] * right[k * columns + j];
                        exact += product;
                        size += Math.abs(product);
                    }
                    // bfloat16 would be off by up to 2⁻⁸ of it, TF32 by 2⁻¹¹
                    assertEquals(exact, products[i * columns + j], size * 0x1p-20);
                }
            }
        }
    }

    private static float[] random(int count, Random random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }
}
