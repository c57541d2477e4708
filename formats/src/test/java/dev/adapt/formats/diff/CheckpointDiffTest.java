package dev.adapt.formats.diff;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("Two checkpoints, tensor by tensor")
class CheckpointDiffTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource(Dtype.class)
    @DisplayName("in every dtype the same bytes are identical, and one other bit is seen, at its element")
    void everyDtype(Dtype dtype) throws IOException {
        byte[] bytes = new byte[96];
        new Random(5).nextBytes(bytes);
        Shape shape = Shape.of(bytes.length * 8L / dtype.bits());
        byte[] changed = bytes.clone();
        changed[48] ^= 1;
        Path a = write("a", dtype, shape, bytes);
        assertInstanceOf(TensorDiff.Identical.class, only(diff(a, write("b", dtype, shape, bytes))));
        CheckpointDiff diff = diff(a, write("c", dtype, shape, changed));
        TensorDiff.OtherValues other = assertInstanceOf(TensorDiff.OtherValues.class, only(diff));
        assertEquals(1, other.difference().differing());
        boolean packed = dtype.bits() < 8;
        assertEquals(
                packed ? 48 : 48 * 8L / Math.min(dtype.bits(), dtype == Dtype.C64 ? 32 : 64),
                other.difference().at());
        assertFalse(diff.equal(0));
    }

    @ParameterizedTest
    @CsvSource({
        "F32, 1, 1.0000001, 1.1920929e-7, 1",
        "F32, 1, -1, 2, 2130706432",
        "F32, 0, 1.4e-45, 1.401298464324817e-45, 1",
        "F32, -1.4e-45, 1.4e-45, 2.802596928649634e-45, 2",
        "F32, 0, -0, 0, 0",
        "F32, Infinity, Infinity, -1, -1",
        "F32, Infinity, 3.4028235e38, Infinity, 1",
        "F32, NaN, 1, Infinity, 9223372036854775807",
        "BF16, 1, 1.0078125, 0.0078125, 1",
        "BF16, 1, 0.99609375, 0.00390625, 1",
        "F16, 1, 1.0009765625, 0.0009765625, 1",
        "F16, 65504, Infinity, Infinity, 1",
        "F64, 1, 1.5, 0.5, 2251799813685248"
    })
    @DisplayName("the largest difference, and the numbers of the dtype between the two")
    void units(Dtype dtype, float x, float y, double absolute, long ulps) throws IOException {
        TensorDiff tensor = only(diff(floats("a", dtype, x), floats("b", dtype, y)));
        if (absolute < 0) {
            assertInstanceOf(TensorDiff.Identical.class, tensor);
            return;
        }
        ValueDifference difference =
                assertInstanceOf(TensorDiff.OtherValues.class, tensor).difference();
        assertEquals(absolute, difference.absolute(), absolute * 1e-6);
        assertEquals(OptionalLong.of(ulps), difference.ulps());
    }

    @ParameterizedTest
    @CsvSource({
        "F32, BF16, 0.0078125",
        "BF16, F32, 0.0078125",
        "F16, F32, 0.0009765625",
        "F64, F32, 1.1920929e-7",
        "F16, BF16, 0.0078125"
    })
    @DisplayName("of two dtypes the narrower one's units count, and equal values differ in nothing but the dtype")
    void twoDtypes(Dtype one, Dtype other, float unit) throws IOException {
        CheckpointDiff same = diff(floats("a", one, 1, 2, -0.5f), floats("b", other, 1, 2, -0.5f));
        TensorDiff.OtherValues values = assertInstanceOf(TensorDiff.OtherValues.class, only(same));
        assertEquals(0, values.difference().differing());
        assertFalse(same.equal(0));
        assertTrue(same.equal(1e-9));
        boolean wideLeft = one.bits() > other.bits();
        CheckpointDiff apart =
                diff(floats("c", one, wideLeft ? 1 + unit : 1), floats("d", other, wideLeft ? 1 : 1 + unit));
        values = assertInstanceOf(TensorDiff.OtherValues.class, only(apart));
        if (one.bits() != other.bits()) {
            assertEquals(OptionalLong.of(1), values.difference().ulps());
        }
        assertTrue(apart.equal(unit));
        assertFalse(apart.equal(unit / 2));
    }

    @Test
    @DisplayName("float64 is compared as float64")
    void doubles() throws IOException {
        Path a = write("a", Dtype.F64, Shape.of(2), MemorySegment.ofArray(new double[] {1, 1e300}));
        Path b = write("b", Dtype.F64, Shape.of(2), MemorySegment.ofArray(new double[] {Math.nextUp(1.0), 1e300}));
        ValueDifference difference =
                assertInstanceOf(TensorDiff.OtherValues.class, only(diff(a, b))).difference();
        assertEquals(Math.ulp(1.0), difference.absolute());
        assertEquals(OptionalLong.of(1), difference.ulps());
    }

    @Test
    @DisplayName("in tensors of many pieces every element counts once, and the largest is found at its place")
    void pieces() throws IOException {
        int count = 9_000_001;
        byte[] bytes = new byte[2 * count];
        byte[] changed = bytes.clone();
        for (int i : new int[] {0, 4_194_303, 4_194_304, 8_388_608, count - 1}) {
            changed[2 * i + 1] = (byte) (i == 8_388_608 ? 0x40 : 0x3f);
        }
        ValueDifference difference = assertInstanceOf(
                        TensorDiff.OtherValues.class,
                        only(diff(
                                write("a", Dtype.BF16, Shape.of(count), bytes),
                                write("b", Dtype.BF16, Shape.of(count), changed))))
                .difference();
        assertEquals(count, difference.elements());
        assertEquals(5, difference.differing());
        assertEquals(2, difference.absolute());
        assertEquals(8_388_608, difference.at());
    }

    @Test
    @DisplayName("what one side lacks, what has another shape or kind, and metadata")
    void structure() throws IOException {
        Path a = folder.resolve("a.safetensors");
        Path b = folder.resolve("b.safetensors");
        FloatTensor two = new FloatTensor(Shape.of(2), new float[2]);
        SafetensorsWriter.write(a, Map.of("same", two, "left", two, "shape", two), Map.of("format", "pt", "x", "1"));
        FloatTensor column = new FloatTensor(Shape.of(2, 1), new float[2]);
        SafetensorsWriter.write(
                b, Map.of("same", two, "right", two, "shape", column), Map.of("format", "pt", "y", "2"));
        CheckpointDiff diff = diff(a, b);
        assertEquals(4, diff.tensors().size());
        assertEquals(1, diff.identical());
        assertEquals(
                List.of("x", "y"),
                diff.metadata().stream().map(CheckpointDiff.Entry::key).toList());
        for (TensorDiff tensor : diff.tensors()) {
            switch (tensor.name()) {
                case "same" -> assertInstanceOf(TensorDiff.Identical.class, tensor);
                case "left" -> assertInstanceOf(TensorDiff.OnlyLeft.class, tensor);
                case "right" -> assertInstanceOf(TensorDiff.OnlyRight.class, tensor);
                default -> assertInstanceOf(TensorDiff.Incomparable.class, tensor);
            }
        }
        assertFalse(diff.equal(1));
        Path integers = write("i", Dtype.I32, Shape.of(1), new byte[4]);
        Path floats = write("f", Dtype.F32, Shape.of(1), new byte[4]);
        assertInstanceOf(TensorDiff.Incomparable.class, only(diff(integers, floats)));
    }

    private static TensorDiff only(CheckpointDiff diff) {
        assertEquals(1, diff.tensors().size());
        return diff.tensors().getFirst();
    }

    private static CheckpointDiff diff(Path a, Path b) throws IOException {
        try (Checkpoint left = Checkpoint.open(a);
                Checkpoint right = Checkpoint.open(b)) {
            return CheckpointDiff.of(left, right, 2);
        }
    }

    private Path floats(String name, Dtype dtype, float... values) throws IOException {
        Path path = folder.resolve(name + ".safetensors");
        FloatTensor tensor = new FloatTensor(Shape.of(values.length), values);
        SafetensorsWriter.write(path, Map.of("t", tensor), dtype, Map.of());
        return path;
    }

    private Path write(String name, Dtype dtype, Shape shape, byte[] bytes) throws IOException {
        return write(name, dtype, shape, MemorySegment.ofArray(bytes));
    }

    private Path write(String name, Dtype dtype, Shape shape, MemorySegment bytes) throws IOException {
        Path path = folder.resolve(name + ".safetensors");
        SafetensorsHeader header = SafetensorsHeader.of(List.of(new TensorSpec("t", dtype, shape)), Map.of());
        SafetensorsWriter.write(
                path, header, info -> MemorySegment.ofArray(bytes.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE)));
        return path;
    }
}
