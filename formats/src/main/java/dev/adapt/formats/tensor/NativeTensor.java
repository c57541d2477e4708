package dev.adapt.formats.tensor;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A float32 tensor in memory outside the heap, row-major; the memory is freed when nothing refers to it any more. */
public record NativeTensor(Shape shape, MemorySegment values) implements Tensor {
    private static final int ALIGNMENT = 64;

    public NativeTensor {
        if (shape.elements() != values.byteSize() / Float.BYTES) {
            throw new IllegalArgumentException(shape + " does not hold " + values.byteSize() + " bytes");
        }
    }

    /** A tensor of zeros. */
    public static NativeTensor zeros(Shape shape) {
        long bytes = Math.multiplyExact(shape.elements(), (long) Float.BYTES);
        return new NativeTensor(shape, Arena.ofAuto().allocate(bytes, ALIGNMENT));
    }

    @Override
    public float[] toFloats() {
        return values.toArray(ValueLayout.JAVA_FLOAT);
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        for (int i = 0; i < count; i++) {
            into[at + i] = values.getAtIndex(ValueLayout.JAVA_FLOAT, from + i);
        }
    }
}
