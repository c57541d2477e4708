package dev.adapt.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.Arena;
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
import org.junit.jupiter.params.provider.EnumSource;
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

    @ParameterizedTest
    @EnumSource(names = {"F64", "F32", "F16", "BF16"})
    @DisplayName("Float32 values are written in any of the four, in chunks")
    void dtypes(Dtype dtype) throws IOException {
        float[] values = new float[600_000];
        for (int i = 0; i < values.length; i++) {
            values[i] = i % 251 - 100;
        }
        Path path = folder.resolve("floats.safetensors");
        FloatTensor tensor = new FloatTensor(Shape.of(600, 1000), values);
        SafetensorsWriter.write(path, Map.of("t", tensor), dtype, Map.of("format", "pt"));
        try (SafetensorsFile file = SafetensorsFile.open(path);
                Arena arena = Arena.ofConfined()) {
            assertEquals(dtype, file.tensor("t").dtype());
            assertArrayEquals(values, file.tensor("t").toFloats());
            // memory that no array of Java holds, and that is not aligned
            MemorySegment own = arena.allocate(4L * values.length + 1).asSlice(1);
            file.tensor("t").widen(own);
            assertArrayEquals(values, own.toArray(ValueLayout.JAVA_FLOAT_UNALIGNED));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F8_E4M3", "F8_E5M2", "I32", "BOOL"})
    @DisplayName("Float32 values are not written as anything else, and nothing is left of the attempt")
    void notWritable(Dtype dtype) throws IOException {
        FloatTensor tensor = new FloatTensor(Shape.of(1), new float[1]);
        Path path = folder.resolve("no.safetensors");
        assertThrows(
                IllegalArgumentException.class,
                () -> SafetensorsWriter.write(path, Map.of("t", tensor), dtype, Map.of()));
        try (var left = Files.list(folder)) {
            assertEquals(0, left.count());
        }
    }
}
