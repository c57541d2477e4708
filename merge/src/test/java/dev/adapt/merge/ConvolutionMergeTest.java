package dev.adapt.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** LoRA and DoRA on kernels of one, two and three dimensions against a plain computation in float64. */
@DisplayName("LoRA on convolutions")
class ConvolutionMergeTest {
    private static final int RANK = 2;
    private static final double SCALE = 4;
    private static final String PEFT = "base_model.model.encoder.0.conv.";

    @TempDir
    private Path folder;

    private final Random random = new Random(1);

    static Stream<Arguments> kernels() {
        return Stream.of(
                        Shape.of(5, 3, 3),
                        Shape.of(5, 3, 1),
                        Shape.of(4, 4, 1, 1),
                        Shape.of(5, 3, 3, 2),
                        Shape.of(3, 3, 3, 3),
                        Shape.of(5, 3, 2, 3, 2))
                .flatMap(shape -> Stream.of(Arguments.of(shape, false), Arguments.of(shape, true)));
    }

    @ParameterizedTest(name = "{0}, DoRA {1}")
    @MethodSource("kernels")
    void merges(Shape kernel, boolean dora) throws IOException {
        FloatTensor weight = values(kernel);
        FloatTensor a = values(kernel.with(0, RANK));
        FloatTensor b = values(point(kernel, kernel.dim(0), RANK));
        FloatTensor magnitude = values(point(kernel, 1, kernel.dim(0)));
        write(weight, a, b, magnitude, dora);
        merge();
        int out = (int) kernel.dim(0);
        int in = (int) (kernel.elements() / out);
        float[] expected = new float[out * in];
        for (int o = 0; o < out; o++) {
            double[] row = new double[in];
            double squares = 0;
            for (int i = 0; i < in; i++) {
                row[i] = weight.values()[o * in + i];
                for (int k = 0; k < RANK; k++) {
                    row[i] += SCALE * b.values()[o * RANK + k] * a.values()[k * in + i];
                }
                squares += row[i] * row[i];
            }
            for (int i = 0; i < in; i++) {
                expected[o * in + i] = (float) (dora ? row[i] * magnitude.values()[o] / Math.sqrt(squares) : row[i]);
            }
        }
        try (Checkpoint merged = Checkpoint.open(folder.resolve("merged"))) {
            assertArrayEquals(
                    expected, merged.tensors().get("encoder.0.conv.weight").toFloats(), 1e-6f);
        }
    }

    @Test
    @DisplayName("refuses a convolution in groups, of which A reads all channels")
    void groups() throws IOException {
        write(
                values(Shape.of(4, 2, 3, 3)),
                values(Shape.of(RANK, 4, 3, 3)),
                values(Shape.of(4, RANK / 2, 1, 1)),
                values(Shape.of(1, 4, 1, 1)),
                false);
        FormatException thrown = assertThrows(FormatException.class, this::merge);
        assertTrue(thrown.getMessage().contains("in 2 groups"), thrown.getMessage());
    }

    private static Shape point(Shape kernel, long first, long second) {
        Shape shape = kernel.with(0, first).with(1, second);
        for (int axis = 2; axis < kernel.rank(); axis++) {
            shape = shape.with(axis, 1);
        }
        return shape;
    }

    private void write(FloatTensor weight, FloatTensor a, FloatTensor b, FloatTensor magnitude, boolean dora)
            throws IOException {
        Files.createDirectories(folder.resolve("base"));
        Files.createDirectories(folder.resolve("adapter"));
        Map<String, FloatTensor> base = new LinkedHashMap<>();
        base.put("encoder.0.conv.weight", weight);
        base.put("encoder.0.conv.bias", values(Shape.of(weight.shape().dim(0))));
        SafetensorsWriter.write(folder.resolve("base/model.safetensors"), base, Map.of());
        Map<String, FloatTensor> adapter = new LinkedHashMap<>();
        adapter.put(PEFT + "lora_A.weight", a);
        adapter.put(PEFT + "lora_B.weight", b);
        if (dora) {
            adapter.put(PEFT + "lora_magnitude_vector", magnitude);
        }
        SafetensorsWriter.write(folder.resolve("adapter").resolve(Adapter.FILE), adapter, Map.of());
        Files.writeString(folder.resolve("adapter/adapter_config.json"), """
                {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "use_dora": %s, "target_modules": ["conv"]}""".formatted(dora));
    }

    private void merge() throws IOException {
        Adapter adapter = Adapter.read(folder.resolve("adapter"));
        try (Checkpoint base = Checkpoint.open(folder.resolve("base"))) {
            new Merger(base, new Binding(base).bind(adapter, false), 1).merge(folder.resolve("merged"));
        }
    }

    private FloatTensor values(Shape shape) {
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (random.nextGaussian() / 8);
        }
        return new FloatTensor(shape, values);
    }
}
