package dev.adapt.merge.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("The kernels of a merge")
class KernelsTest {
    private static final List<Kernels> BOTH = List.of(new ScalarKernels(), new VectorKernels());

    @RepeatedTest(60)
    @DisplayName("scalar and vector give the same bits, and both are close to float64")
    void scalarAndVectorAgree(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int rows = 1 + random.nextInt(13);
        int columns = 1 + random.nextInt(70);
        int rank = 1 + random.nextInt(repetition.getCurrentRepetition() % 3 == 0 ? 600 : 20);
        boolean transposed = random.nextBoolean();
        int first = Panels.ROWS * random.nextInt(3);
        int out = transposed ? columns : first + rows;
        int in = transposed ? first + rows : columns;
        DoubleTensor left = DoubleTensor.of(new FloatTensor(Shape.of(out, rank), values(random, out * rank)));
        DoubleTensor right = DoubleTensor.of(new FloatTensor(Shape.of(rank, in), values(random, rank * in)));
        for (Floats dtype : Floats.values()) {
            MemorySegment weight = Arena.ofAuto().allocate((long) rows * columns * dtype.bytes());
            dtype.encode(values(random, rows * columns), 0, rows * columns, weight);
            List<MemorySegment> results = BOTH.stream()
                    .map(kernels ->
                            added(kernels, dtype, new LowRank<>(left, right, 1), transposed, first, rows, weight))
                    .toList();
            assertEquals(-1, results.get(0).mismatch(results.get(1)), dtype::name);
            for (int i = 0; i < rows * columns; i++) {
                int row = first + i / columns;
                int column = i % columns;
                double exact = dtype.get(weight, i);
                double magnitude = Math.abs(exact);
                for (int k = 0; k < rank; k++) {
                    double term = left.values()[(transposed ? column : row) * rank + k]
                            * right.values()[k * in + (transposed ? row : column)];
                    exact += term;
                    magnitude += Math.abs(term);
                }
                // Higham, Accuracy and Stability, (3.5): each of the rank + 1 roundings is within half a unit
                double bound = (rank + 1) * 0x1p-24 * magnitude * 1.01 + unit(dtype, exact);
                assertEquals(exact, dtype.get(results.get(1), i), bound);
            }
        }
    }

    private static MemorySegment added(
            Kernels kernels,
            Floats dtype,
            LowRank<Tensor> product,
            boolean transposed,
            int first,
            int rows,
            MemorySegment weight) {
        int columns = Math.toIntExact(weight.byteSize() / dtype.bytes() / rows);
        Panels panels = kernels.panels(dtype);
        int rank = Math.toIntExact(product.left().shape().dim(1));
        MemorySegment out = Arena.ofAuto().allocate(weight.byteSize());
        float[] packed = new float[Factors.rightSize(columns, rank, panels)];
        try (Lane lane = new Lane()) {
            Factors factors = Factors.pack(List.of(new Factors.Part(product, 1)), columns, transposed, panels, packed);
            kernels.add(
                    dtype, factors.multiply(kernels, first, rows, lane), rows, columns, weight, out, new NonFinite());
            float[] left = factors.left(first, rows, lane);
            MemorySegment byPanel = Arena.ofAuto().allocate(weight.byteSize());
            for (int panel = 0; panel < panels.count(columns); panel++) {
                Product sums = factors.multiply(kernels, left, 0, rows, panel, panel + 1, lane);
                kernels.add(dtype, sums, rows, columns, weight, byPanel, new NonFinite());
            }
            assertEquals(-1, out.mismatch(byPanel), "one panel after the other");
        }
        return out;
    }

    private static double unit(Floats dtype, double value) {
        return switch (dtype) {
            case BF16 -> Math.abs(value) * 0x1p-8;
            case F16 -> Math.abs(value) * 0x1p-11 + 0x1p-25;
            default -> 0;
        };
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    @DisplayName("every 16-bit weight plus changes of every size: vector as scalar")
    void everyPattern(Floats dtype) {
        int columns = 1 << 16;
        short[] patterns = new short[columns];
        for (int i = 0; i < columns; i++) {
            patterns[i] = (short) i;
        }
        Random random = new Random(4);
        for (int repetition = 0; repetition < 20; repetition++) {
            float[] changes = new float[columns];
            for (int i = 0; repetition > 0 && i < columns; i++) {
                changes[i] = (float) Math.scalb(random.nextGaussian(), random.nextInt(60) - 40);
                if (repetition > 10 && random.nextInt(1000) == 0) {
                    changes[i] = repetition % 2 == 0 ? Float.NaN : Float.MAX_VALUE;
                }
            }
            MemorySegment weight = Arena.ofAuto().allocateFrom(ValueLayout.JAVA_SHORT, patterns);
            List<MemorySegment> results = new ArrayList<>();
            List<String> counts = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                NonFinite found = new NonFinite();
                Panels panels = BOTH.get(i).panels(dtype);
                int all = panels.count(columns);
                Product sums = new Product(new float[Product.size(1, all, panels.width())], panels, 0, all);
                for (int column = 0; column < columns; column++) {
                    sums.values()[sums.at(0, column / panels.width()) + panels.lane(column)] = changes[column];
                }
                results.add(Arena.ofAuto().allocate(weight.byteSize()));
                BOTH.get(i).add(dtype, sums, 1, columns, weight, results.getLast(), found);
                counts.add(found.toString());
            }
            assertEquals(-1, results.get(0).mismatch(results.get(1)));
            assertEquals(expectedCounts(dtype, weight, changes, results.getFirst()), counts.get(0));
            assertEquals(counts.get(0), counts.get(1));
        }
    }

    private static String expectedCounts(Floats dtype, MemorySegment weight, float[] changes, MemorySegment result) {
        int base = 0;
        int update = 0;
        int overflow = 0;
        for (int i = 0; i < changes.length; i++) {
            if (!Double.isFinite(dtype.get(result, i))) {
                boolean ofBase = !Double.isFinite(dtype.get(weight, i));
                boolean ofUpdate = !ofBase && !Float.isFinite(changes[i]);
                base += ofBase ? 1 : 0;
                update += ofUpdate ? 1 : 0;
                overflow += ofBase || ofUpdate ? 0 : 1;
            }
        }
        return List.of(base, update, overflow).toString();
    }

    @RepeatedTest(40)
    @DisplayName("rows of products and runs of elements: scalar and vector give the same bits, and write nothing else")
    void rowsAgree(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int rows = 1 + random.nextInt(9);
        int depth = 1 + random.nextInt(40);
        int columns = 1 + random.nextInt(70);
        int step = columns + random.nextInt(5);
        float[] left = values(random, 3 + rows * (depth + 2));
        float[] right = values(random, depth * columns);
        List<float[]> results = new ArrayList<>();
        for (Kernels kernels : BOTH) {
            float[] y = new float[2 + rows * step + columns];
            int width = kernels.plain().width();
            float[] packed = new float[kernels.plain().count(columns) * width * depth];
            for (int i = 0; i < right.length; i++) {
                int column = i % columns;
                packed[(column / width * depth + i / columns) * width + column % width] = right[i];
            }
            kernels.multiply(left, 3, depth + 2, rows, packed, 0, depth, y, 2, step, columns);
            for (Kernels.Operation operation : Kernels.Operation.values()) {
                kernels.combine(operation, y, 2, left, 1, y, 2, Math.min(rows, columns));
                kernels.combine(operation, y, 2, 0.3f, y, 2, columns);
            }
            kernels.affine(y, 2, 1.7f, 0.1f, y, 2, columns);
            results.add(y);
        }
        assertArrayEquals(results.get(0), results.get(1));
        for (int i = columns; i < step; i++) {
            assertEquals(0, results.getFirst()[2 + i], "between the rows");
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "BF16"})
    @DisplayName("blocks are widened and rounded as one element is, and what rounds to infinity is seen")
    void blocksAgree(Floats dtype) {
        int count = (1 << 16) + 7;
        MemorySegment stored = Arena.ofAuto().allocate((long) count * dtype.bytes());
        for (int i = 0; i < count; i++) {
            dtype.setFloat(stored, i, Float.float16ToFloat((short) i));
        }
        for (Kernels kernels : BOTH) {
            float[] values = new float[count];
            kernels.decode(dtype, stored, values, count);
            Random random = new Random(5);
            for (int i = 0; i < count; i++) {
                assertEquals(dtype.getFloat(stored, i), values[i]);
                values[i] = (float) Math.scalb(random.nextGaussian(), random.nextInt(30) - 20);
            }
            MemorySegment rounded = Arena.ofAuto().allocate(stored.byteSize());
            assertTrue(kernels.areHeld(dtype, values, count));
            kernels.encode(dtype, values, count, rounded);
            MemorySegment one = Arena.ofAuto().allocate(dtype.bytes());
            for (int i = 0; i < count; i++) {
                dtype.setFloat(one, 0, values[i]);
                assertEquals(dtype.getFloat(one, 0), dtype.getFloat(rounded, i));
            }
            for (float beyond : List.of(dtype.overflow(), Float.NaN, Float.NEGATIVE_INFINITY)) {
                int at = random.nextInt(count);
                float kept = values[at];
                values[at] = beyond;
                assertFalse(kernels.areHeld(dtype, values, count));
                values[at] = kept;
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
}
