package dev.adapt.merge.kernel;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Arrays;
import java.util.Optional;

/**
 * A float32 tensor in an array, with a stride for each axis. Transposed, sliced and broadcast tensors share their elements
 * with the tensor they come from.
 *
 * @param first the index of its first element
 * @param strides how far apart neighbours along each axis lie; 0 where they are one element
 * @param held whether its elements stay as they are for all tiles of a weight
 */
@SuppressWarnings("ArrayRecordComponent")
public record Strided(float[] values, int first, int[] dims, int[] strides, boolean held) implements Tensor {
    /** An array's first elements, row-major. */
    public static Strided rowMajor(float[] values, boolean held, int... dims) {
        int[] strides = new int[dims.length];
        int stride = 1;
        for (int axis = dims.length - 1; axis >= 0; axis--) {
            strides[axis] = stride;
            stride *= dims[axis];
        }
        return new Strided(values, 0, dims, strides, held);
    }

    /** The elements of a tensor in memory. */
    public static Strided of(FloatTensor tensor, boolean held) {
        return rowMajor(tensor.values(), held, dims(tensor.shape()));
    }

    public static int[] dims(Shape shape) {
        int[] dims = new int[shape.rank()];
        for (int axis = 0; axis < dims.length; axis++) {
            dims[axis] = Math.toIntExact(shape.dim(axis));
        }
        return dims;
    }

    /** The number of elements of a tensor of these dimensions. */
    public static int elements(int... dims) {
        int count = 1;
        for (int dim : dims) {
            count = Math.multiplyExact(count, dim);
        }
        return count;
    }

    @Override
    public Shape shape() {
        return Shape.of(Arrays.stream(dims).asLongStream().toArray());
    }

    public int rank() {
        return dims.length;
    }

    /** The size of an axis, counted from the last where it is negative. */
    public int dim(int axis) {
        return dims[axis < 0 ? dims.length + axis : axis];
    }

    public int elements() {
        return elements(dims);
    }

    /** Whether its elements lie side by side, row-major. */
    public boolean isRowMajor() {
        int stride = 1;
        for (int axis = dims.length - 1; axis >= 0; axis--) {
            if (dims[axis] != 1 && strides[axis] != stride) {
                return false;
            }
            stride *= dims[axis];
        }
        return true;
    }

    /**
     * Its axes in the order in which they lie in memory, outermost first.
     *
     * @param lastStays whether the last one stays the last
     */
    int[] axesByStride(boolean lastStays) {
        int[] axes = new int[dims.length];
        for (int axis = 0; axis < axes.length; axis++) {
            int at = axis;
            for (; at > 0 && strides[axes[at - 1]] < strides[axis] && !(lastStays && axis == dims.length - 1); at--) {
                axes[at] = axes[at - 1];
            }
            axes[at] = axis;
        }
        return axes;
    }

    /** Elements {@code from} (inclusive) to {@code to} (exclusive) along an axis. */
    public Strided slice(int axis, int from, int to) {
        int[] kept = dims.clone();
        kept[axis] = to - from;
        return new Strided(values, first + from * strides[axis], kept, strides, held);
    }

    /** The first elements of the tensors that its last axes make up, as a tensor of the other axes. */
    public Strided outer(int last) {
        int kept = dims.length - last;
        return new Strided(values, first, Arrays.copyOf(dims, kept), Arrays.copyOf(strides, kept), held);
    }

    /** Its axes in another order. */
    public Strided transposed(int... axes) {
        int[] sizes = new int[axes.length];
        int[] steps = new int[axes.length];
        for (int i = 0; i < axes.length; i++) {
            sizes[i] = dims[axes[i]];
            steps[i] = strides[axes[i]];
        }
        return new Strided(values, first, sizes, steps, held);
    }

    /** The dimensions to which it and another broadcast. */
    public int[] broadcastDims(Strided other) {
        if (covers(other)) {
            return dims;
        }
        return other.covers(this) ? other.dims : dims(shape().broadcast(other.shape()));
    }

    /** Whether another broadcasts to its dimensions. */
    private boolean covers(Strided other) {
        boolean covers = other.dims.length <= dims.length;
        for (int i = 1; covers && i <= other.dims.length; i++) {
            covers = other.dim(-i) == 1 || other.dim(-i) == dim(-i);
        }
        return covers;
    }

    /** It, repeated along axes of size 1 and along new leading ones. */
    public Strided broadcast(int... to) {
        int[] repeated = new int[to.length];
        for (int i = 1; i <= dims.length; i++) {
            repeated[to.length - i] = dim(-i) == 1 && to[to.length - i] != 1 ? 0 : strides[dims.length - i];
        }
        return new Strided(values, first, to, repeated, held);
    }

    /** Its elements in another shape, or none if the strides cannot say that. */
    public Optional<Strided> reshaped(int... to) {
        int[] axes = new int[dims.length];
        int used = 0;
        for (int axis = 0; axis < dims.length; axis++) {
            if (dims[axis] != 1) {
                axes[used++] = axis;
            }
        }
        int[] changed = new int[to.length];
        Arrays.fill(changed, 1);
        int old = 0;
        for (int next = 0; next < to.length && old < used; ) {
            // the fewest of its axes that hold as many elements as some of the new ones
            int oldEnd = old + 1;
            int nextEnd = next + 1;
            int had = dims[axes[old]];
            int wanted = to[next];
            while (had != wanted) {
                if (wanted < had) {
                    wanted *= to[nextEnd++];
                } else {
                    had *= dims[axes[oldEnd++]];
                }
            }
            for (int axis = old; axis + 1 < oldEnd; axis++) {
                if (strides[axes[axis]] != dims[axes[axis + 1]] * strides[axes[axis + 1]]) {
                    return Optional.empty();
                }
            }
            int stride = strides[axes[oldEnd - 1]];
            for (int axis = nextEnd - 1; axis >= next; axis--) {
                changed[axis] = stride;
                stride *= to[axis];
            }
            old = oldEnd;
            next = nextEnd;
        }
        return Optional.of(new Strided(values, first, to, changed, held));
    }

    /** Copies its elements to another of its shape. */
    public void copyTo(Strided other) {
        Runs runs = new Runs(other, this);
        while (runs.next()) {
            int to = runs.at(0);
            int from = runs.at(1);
            int step = runs.step(1);
            if (step == 1 && runs.step(0) == 1) {
                System.arraycopy(values, from, other.values, to, runs.width());
            } else {
                for (int i = 0; i < runs.width(); i++) {
                    other.values[to + i * runs.step(0)] = values[from + i * step];
                }
            }
        }
    }

    @Override
    public float[] toFloats() {
        float[] copy = new float[elements()];
        copyTo(rowMajor(copy, false, dims));
        return copy;
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        float[] all = toFloats();
        for (int i = 0; i < count; i++) {
            into[at + i] = all[Math.toIntExact(from) + i];
        }
    }
}
