package dev.adapt.merge.kernel;

import java.util.ArrayList;
import java.util.List;

/**
 * Arrays for what one thread computes of a block. Each block takes the same ones again, in the same order: fresh ones would
 * leave the second-level cache.
 */
public final class Scratch {
    /** Floats of arrays that are kept: those of weights that are changed as a whole are not. */
    private static final int MOST = 1 << 20;

    private final List<float[]> arrays = new ArrayList<>();
    private int taken;

    /** Says that all that was taken is free again. */
    public void reset() {
        taken = 0;
    }

    /** An array of at least that length, which holds anything. */
    public float[] take(int length) {
        if (length > MOST) {
            return new float[length];
        }
        if (taken == arrays.size()) {
            arrays.add(new float[length]);
        } else if (arrays.get(taken).length < length) {
            arrays.set(taken, new float[length]);
        }
        return arrays.get(taken++);
    }

    /** A tensor to be written, row-major. */
    public Strided rowMajor(int... dims) {
        return Strided.rowMajor(take(Strided.elements(dims)), false, dims);
    }

    /**
     * A tensor to be written whose axes lie in memory in the order of another's, the last one innermost where {@code
     * wholeRows}.
     */
    public Strided like(Strided other, boolean wholeRows, int... dims) {
        int[] axes = other.axesByStride(wholeRows);
        int[] strides = new int[dims.length];
        int stride = 1;
        for (int i = dims.length - 1; i >= 0; i--) {
            strides[axes[i]] = stride;
            stride = Math.multiplyExact(stride, dims[axes[i]]);
        }
        return new Strided(take(stride), 0, dims, strides, false);
    }
}
