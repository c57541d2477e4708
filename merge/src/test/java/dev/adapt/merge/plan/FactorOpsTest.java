package dev.adapt.merge.plan;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("The interpreter for factors")
class FactorOpsTest {
    /** A tensor whose readings are counted, as those of a file cost time. */
    @SuppressWarnings("ArrayRecordComponent")
    private record Counted(Shape shape, double[] values, AtomicInteger readings) implements Tensor {
        @Override
        public float[] toFloats() {
            throw new UnsupportedOperationException();
        }

        @Override
        public void read(long from, double[] into, int at, int count) {
            readings.incrementAndGet();
            System.arraycopy(values, (int) from, into, at, count);
        }
    }

    @Test
    @DisplayName("a transposed matrix gives any part of it, and is read a row of the stored one at a time")
    void transposed() {
        int rows = 3;
        int columns = 5;
        double[] values = new double[rows * columns];
        Arrays.setAll(values, i -> i);
        Counted stored = new Counted(Shape.of(rows, columns), values, new AtomicInteger());
        Tensor turned = new FactorOps().transpose(stored, 1, 0);
        double[] expected = new double[rows * columns];
        Arrays.setAll(expected, i -> values[i % rows * columns + i / rows]);
        for (int from = 0; from < expected.length; from++) {
            for (int count = 0; from + count <= expected.length; count++) {
                double[] read = new double[count + 1];
                turned.read(from, read, 1, count);
                assertArrayEquals(
                        Arrays.copyOfRange(expected, from, from + count), Arrays.copyOfRange(read, 1, count + 1));
            }
        }
        stored.readings().set(0);
        turned.read(0, new double[expected.length], 0, expected.length);
        assertEquals(rows, stored.readings().get());
        stored.readings().set(0);
        turned.read(4, new double[1], 0, 1);
        assertEquals(1, stored.readings().get());
    }
}
