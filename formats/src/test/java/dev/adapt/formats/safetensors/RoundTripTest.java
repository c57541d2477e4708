package dev.adapt.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("What the writer writes, the strict reader reads")
class RoundTripTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void randomFiles(long seed) throws IOException {
        Random random = new Random(seed);
        List<Dtype> dtypes = List.of(Dtype.values());
        Map<String, byte[]> contents = new HashMap<>();
        List<TensorSpec> specs = new ArrayList<>();
        for (int i = random.nextInt(40); i >= 0; i--) {
            Dtype dtype = dtypes.get(random.nextInt(dtypes.size()));
            // four elements fill whole bytes in every dtype
            Shape shape = Shape.of(4L * random.nextInt(4), random.nextInt(5));
            String name = "t" + i + (random.nextBoolean() ? ".\"weight\" ä" : "");
            specs.add(new TensorSpec(name, dtype, shape));
            byte[] bytes = new byte[(int) specs.getLast().bytes()];
            random.nextBytes(bytes);
            contents.put(name, bytes);
        }
        Map<String, String> metadata = Map.of("format", "pt", "note", "line\nbreak");
        Path path = folder.resolve("random.safetensors");
        SafetensorsHeader header = SafetensorsHeader.of(specs, metadata);
        SafetensorsWriter.write(
                path, header, info -> MemorySegment.ofArray(Objects.requireNonNull(contents.get(info.name()))));

        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(header, file.header());
            assertEquals(metadata, file.metadata());
            assertEquals(0, file.header().dataOffset() % 8);
            for (TensorView tensor : file.tensors()) {
                assertArrayEquals(contents.get(tensor.name()), tensor.data().toArray(ValueLayout.JAVA_BYTE));
                int alignment = Math.max(1, tensor.dtype().bits() / 8);
                assertEquals(0, tensor.position() % alignment, () -> tensor.name() + " is not aligned");
            }
        }
    }

    @Test
    @DisplayName("A write that fails leaves nothing behind")
    void atomic() throws IOException {
        Path path = folder.resolve("broken.safetensors");
        SafetensorsHeader header = SafetensorsHeader.of(List.of(new TensorSpec("a", Dtype.F32, Shape.of(2))), Map.of());
        assertThrows(
                IllegalStateException.class,
                () -> SafetensorsWriter.write(path, header, info -> {
                    throw new IllegalStateException("the source broke");
                }));
        assertFalse(Files.exists(path));
        try (var left = Files.list(folder)) {
            assertEquals(0, left.count());
        }
    }

    @Test
    @DisplayName("All 65,536 patterns of BF16 and F16 convert to the float they mean")
    void sixteenBits() throws IOException {
        byte[] patterns = new byte[2 * 65536];
        for (int i = 0; i < 65536; i++) {
            patterns[2 * i] = (byte) i;
            patterns[2 * i + 1] = (byte) (i >> 8);
        }
        Path path = folder.resolve("sixteen.safetensors");
        SafetensorsHeader header = SafetensorsHeader.of(
                List.of(
                        new TensorSpec("bf16", Dtype.BF16, Shape.of(65536)),
                        new TensorSpec("f16", Dtype.F16, Shape.of(65536))),
                Map.of());
        SafetensorsWriter.write(path, header, info -> MemorySegment.ofArray(patterns));
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            float[] bf16 = file.tensor("bf16").toFloats();
            float[] f16 = file.tensor("f16").toFloats();
            for (int i = 0; i < 65536; i++) {
                assertEquals(meaning(i, 8, 7), bf16[i], 0f);
                assertEquals(meaning(i, 5, 10), f16[i], 0f);
            }
        }
    }

    /** The value of a pattern by IEEE 754's definition, for a format of so many exponent and fraction bits. */
    private static float meaning(int pattern, int exponentBits, int fractionBits) {
        int bias = (1 << (exponentBits - 1)) - 1;
        int exponent = (pattern >> fractionBits) & ((1 << exponentBits) - 1);
        double fraction = (pattern & ((1 << fractionBits) - 1)) / (double) (1 << fractionBits);
        double sign = (pattern & 0x8000) == 0 ? 1 : -1;
        if (exponent == (1 << exponentBits) - 1) {
            return fraction == 0 ? (float) (sign * Double.POSITIVE_INFINITY) : Float.NaN;
        }
        double magnitude =
                exponent == 0 ? fraction * Math.pow(2, 1 - bias) : (1 + fraction) * Math.pow(2, exponent - bias);
        return (float) (sign * magnitude);
    }
}
