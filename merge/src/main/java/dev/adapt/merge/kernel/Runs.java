package dev.adapt.merge.kernel;

import java.util.Arrays;

/**
 * Steps through tensors of one shape run by run, in the order in which the first one's elements lie in memory. Within a run,
 * each tensor's elements have a constant distance. Runs are as long as the strides allow.
 */
public final class Runs {
    private final int[] dims;
    private final int[][] strides;
    private final int[] at;
    private final int[] index;
    private boolean started;
    private boolean done;

    public Runs(Strided... tensors) {
        Strided lead = tensors[0];
        int[] axes = lead.axesByStride(false);
        // one run of one element, where all axes have size 1
        int[] sizes = new int[axes.length + 1];
        int[][] steps = new int[tensors.length][axes.length + 1];
        int used = 0;
        for (int axis : axes) {
            if (lead.dims()[axis] == 1) {
                continue;
            }
            if (used > 0 && continues(tensors, steps, used - 1, axis)) {
                sizes[used - 1] *= lead.dims()[axis];
            } else {
                sizes[used++] = lead.dims()[axis];
            }
            for (int i = 0; i < tensors.length; i++) {
                steps[i][used - 1] = tensors[i].strides()[axis];
            }
        }
        if (used == 0) {
            sizes[used++] = 1;
        }
        dims = Arrays.copyOf(sizes, used);
        strides = steps;
        at = new int[tensors.length];
        index = new int[used];
        done = lead.elements() == 0;
        for (int i = 0; i < tensors.length; i++) {
            at[i] = tensors[i].first();
        }
    }

    /** Whether in all tensors an axis fills the steps of the one outside of it. */
    private static boolean continues(Strided[] tensors, int[][] steps, int outer, int axis) {
        for (int i = 0; i < tensors.length; i++) {
            if (steps[i][outer] != tensors[i].strides()[axis] * tensors[i].dims()[axis]) {
                return false;
            }
        }
        return true;
    }

    /** Goes to the next run; false after the last. */
    public boolean next() {
        if (!started) {
            started = true;
            return !done;
        }
        for (int axis = dims.length - 2; axis >= 0; axis--) {
            boolean inside = ++index[axis] < dims[axis];
            for (int i = 0; i < at.length; i++) {
                at[i] += inside ? strides[i][axis] : strides[i][axis] * (1 - dims[axis]);
            }
            if (inside) {
                return true;
            }
            index[axis] = 0;
        }
        return false;
    }

    /** How many elements the run has. */
    public int width() {
        return dims[dims.length - 1];
    }

    /** Where the run begins in a tensor's array. */
    public int at(int tensor) {
        return at[tensor];
    }

    /** How far apart the run's elements are in a tensor's array. */
    public int step(int tensor) {
        return strides[tensor][dims.length - 1];
    }
}
