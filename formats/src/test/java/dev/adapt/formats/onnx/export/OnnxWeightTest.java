package dev.adapt.formats.onnx.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Weights converted to float16 for an export. */
class OnnxWeightTest {
    private static OnnxWeight stored(Dtype dtype, double... values) {
        ByteBuffer bytes = ByteBuffer.allocate(values.length * dtype.bits() / 8).order(ByteOrder.LITTLE_ENDIAN);
        for (double value : values) {
            switch (dtype) {
                case F64 -> bytes.putDouble(value);
                case F32 -> bytes.putFloat((float) value);
                case F16 -> bytes.putShort(Float.floatToFloat16((float) value));
                case BF16 -> bytes.putShort((short) (Float.floatToRawIntBits((float) value) >>> 16));
                default -> throw new IllegalArgumentException(dtype.name());
            }
        }
        Shape shape = Shape.of(1, values.length);
        MemorySegment data = MemorySegment.ofBuffer(bytes.flip());
        return new OnnxWeight("w", stored(new TensorSpec("w", dtype, shape), data)).half();
    }

    /** A tensor of a file that is mapped until the tests end, and gone from its folder at once. */
    private static TensorView stored(TensorSpec spec, MemorySegment data) {
        try {
            Path file = Files.createTempFile("weight", ".safetensors");
            SafetensorsWriter.write(file, SafetensorsHeader.of(List.of(spec), Map.of()), tensor -> data);
            TensorView tensor = SafetensorsFile.open(file).tensor(spec.name());
            Files.delete(file);
            return tensor;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static float[] halves(MemorySegment bytes) {
        float[] values = new float[(int) bytes.byteSize() / Short.BYTES];
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.float16ToFloat(bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, (long) i * Short.BYTES));
        }
        return values;
    }

    @Test
    void float16StaysAsItIs() {
        OnnxWeight weight = stored(Dtype.F16, 1, -2);
        assertFalse(weight.converted());
        assertEquals(4, weight.bytes().byteSize());
        assertTrue(stored(Dtype.BF16, 1).converted());
    }

    /** Whatever double: no float16 is nearer, and of two that are as near it is the even one. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void doublesAreRoundedOnce(long seed) {
        Random random = new Random(seed);
        double[] values = new double[20_000];
        for (int i = 0; i < values.length; i++) {
            // most lie so near to the middle of two float16 that rounding to float32 first would move them there
            double middle = (1024 + random.nextInt(1024) + 0.5) * Math.scalb(1.0, random.nextInt(28) - 24 - 10);
            values[i] = (random.nextBoolean() ? middle : -middle) * (1 + (random.nextInt(3) - 1) * 0x1p-40);
        }
        float[] found = halves(stored(Dtype.F64, values).bytes());
        for (int i = 0; i < values.length; i++) {
            assertNearest(values[i], found[i]);
        }
    }

    private static void assertNearest(double value, float half) {
        short bits = Float.floatToFloat16(half);
        BigDecimal exact = new BigDecimal(value);
        BigDecimal error = exact.subtract(new BigDecimal((double) half)).abs();
        for (int step : new int[] {-1, 1}) {
            float other = Float.float16ToFloat((short) (bits + step));
            if (!Float.isFinite(other)) {
                continue;
            }
            int nearer = error.compareTo(
                    exact.subtract(new BigDecimal((double) other)).abs());
            assertTrue(nearer < 0 || (nearer == 0 && (bits & 1) == 0), value + " became " + half);
        }
    }

    @ParameterizedTest
    @CsvSource({"F32", "BF16", "F64"})
    void valuesBeyondTheRangeAreRefusedByName(Dtype dtype) {
        FormatException refused = assertThrows(
                FormatException.class, () -> stored(dtype, 1, 131072).bytes());
        String said = String.valueOf(refused.getMessage());
        assertTrue(
                said.endsWith(
                        ".safetensors: w: holds 131072.0, and float16 ends at 65504; export it without --dtype fp16"),
                said);
    }

    @Test
    void theRangeEndsWhereRoundingDoes() {
        assertEquals(65504, halves(stored(Dtype.F32, 65519.99).bytes())[0]);
        assertThrows(FormatException.class, () -> stored(Dtype.F32, 65520).bytes());
        assertEquals(
                Float.NEGATIVE_INFINITY,
                halves(stored(Dtype.F32, Double.NEGATIVE_INFINITY).bytes())[0]);
    }

    /** More elements than are handled at once, in a file, behind others. */
    @ParameterizedTest
    @CsvSource({"BF16", "F16", "F64"})
    void whatIsWrittenIsTheWhole(Dtype dtype, @TempDir Path folder) throws IOException {
        float[] values = new float[(1 << 20) + 5];
        Random random = new Random(4);
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextInt(-128, 128) / 32f;
        }
        Path file = folder.resolve("model.safetensors");
        FloatTensor tensor = new FloatTensor(Shape.of(1, values.length), values);
        SafetensorsWriter.write(
                file, Map.of("a", new FloatTensor(Shape.of(3), new float[3]), "b", tensor), dtype, Map.of());
        Path out = folder.resolve("data");
        try (SafetensorsFile open = SafetensorsFile.open(file);
                FileChannel channel = FileChannel.open(out, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            OnnxWeight weight = new OnnxWeight("b", open.tensor("b")).half();
            weight.write(channel);
            assertEquals(weight.byteSize(), Files.size(out));
            assertEquals(-1, MemorySegment.ofArray(Files.readAllBytes(out)).mismatch(weight.bytes()));
        }
        assertArrayEquals(values, halves(MemorySegment.ofArray(Files.readAllBytes(out))));
    }
}
