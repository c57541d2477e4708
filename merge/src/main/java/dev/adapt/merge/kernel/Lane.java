package dev.adapt.merge.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** The buffers of one thread, reused from tile to tile: fresh ones would cost a page fault for each page. */
public final class Lane implements AutoCloseable {
    private static final int ALIGNMENT = 64;

    private final Arena arena = Arena.ofConfined();
    private MemorySegment weight = MemorySegment.NULL;
    private MemorySegment out = MemorySegment.NULL;
    private float[] sums = {};
    private float[] left = {};
    private double[] values = {};
    private final Scratch scratch = new Scratch();

    /** Room for a tile of the base. */
    public MemorySegment weight(long bytes) {
        weight = grown(weight, bytes);
        return weight.asSlice(0, bytes);
    }

    /** Room for a tile of the result. */
    public MemorySegment out(long bytes) {
        out = grown(out, bytes);
        return out.asSlice(0, bytes);
    }

    private MemorySegment grown(MemorySegment segment, long bytes) {
        return segment.byteSize() < bytes ? arena.allocate(bytes, ALIGNMENT) : segment;
    }

    /** Room for the update of a tile. */
    public float[] sums(int count) {
        if (sums.length < count) {
            sums = new float[count];
        }
        return sums;
    }

    /** Room for what a tile needs of a left factor. */
    float[] left(int count) {
        if (left.length < count) {
            left = new float[count];
        }
        return left;
    }

    /** Room for elements that are read to be converted. */
    public double[] values(int count) {
        if (values.length < count) {
            values = new double[count];
        }
        return values;
    }

    /** Arrays for what is computed of a block. */
    public Scratch scratch() {
        return scratch;
    }

    @Override
    public void close() {
        arena.close();
    }
}
