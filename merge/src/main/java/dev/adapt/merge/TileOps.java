package dev.adapt.merge;

import dev.adapt.formats.graph.Activation;
import dev.adapt.formats.graph.MatrixOps;
import dev.adapt.formats.graph.Region;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * The interpreter for tiles of a weight: float32 in memory, as PEFT computes changes. Its loops are plain ones over arrays,
 * which the compiler vectorises, so that results are the same to the bit with and without the Vector API. What is rare in
 * tiles goes through float64.
 *
 * <p>Tensors that a change holds for all of its tiles, such as factors in a file, are widened once.
 */
final class TileOps implements MatrixOps<Tensor> {
    /** Columns of a product that are computed before the next ones: few enough for the first-level cache. */
    private static final int COLUMNS = 1 << 10;

    private final FactorOps rest = new FactorOps();
    private final Map<Tensor, FloatTensor> held = Collections.synchronizedMap(new IdentityHashMap<>());

    private final Map<Tensor, Boolean> ordered = Collections.synchronizedMap(new IdentityHashMap<>());

    private FloatTensor floats(Tensor tensor) {
        return tensor instanceof FloatTensor same ? same : held.computeIfAbsent(tensor, FloatTensor::of);
    }

    private static FloatTensor narrow(Tensor wide) {
        return FloatTensor.of(wide);
    }

    private static int dim(Tensor tensor, int axis) {
        return Math.toIntExact(tensor.shape().dim(axis));
    }

    /** The elements between two neighbours along an axis. */
    private static int inner(Shape shape, int axis) {
        long inner = 1;
        for (int i = axis + 1; i < shape.rank(); i++) {
            inner *= shape.dim(i);
        }
        return Math.toIntExact(inner);
    }

    private static Shape with(Shape shape, int axis, long size) {
        long[] dims = shape.toArray();
        dims[axis] = size;
        return Shape.of(dims);
    }

    @Override
    public Tensor constant(FloatTensor values) {
        return values;
    }

    @Override
    public Tensor integers(long... values) {
        return rest.integers(values);
    }

    @Override
    public Tensor slice(Tensor x, int axis, long from, long to) {
        if (from == 0 && to == x.shape().dim(axis)) {
            return x;
        }
        float[] source = floats(x).values();
        int inner = inner(x.shape(), axis);
        int size = dim(x, axis);
        int kept = (int) (to - from) * inner;
        int outer = source.length / Math.max(1, inner * size);
        float[] y = new float[outer * kept];
        for (int o = 0; o < outer; o++) {
            System.arraycopy(source, (o * size + (int) from) * inner, y, o * kept, kept);
        }
        return new FloatTensor(with(x.shape(), axis, to - from), y);
    }

    @Override
    public Tensor concat(int axis, List<Tensor> parts) {
        List<FloatTensor> all = parts.stream().map(this::floats).toList();
        Shape first = all.getFirst().shape();
        int size = all.stream().mapToInt(part -> dim(part, axis)).sum();
        int inner = inner(first, axis);
        int outer = all.getFirst().values().length / Math.max(1, inner * dim(all.getFirst(), axis));
        float[] y = new float[outer * size * inner];
        int start = 0;
        for (FloatTensor part : all) {
            int run = dim(part, axis) * inner;
            for (int o = 0; o < outer; o++) {
                System.arraycopy(part.values(), o * run, y, o * size * inner + start, run);
            }
            start += run;
        }
        return new FloatTensor(with(first, axis, size), y);
    }

    @Override
    public Tensor transpose(Tensor x, int... axes) {
        if (axes.length == 2 && axes[0] == 1) {
            return floats(x).transposed();
        }
        int last = axes.length - 1;
        if (axes.length != 3 || axes[last] != last) {
            return narrow(rest.transpose(x, axes));
        }
        // the two leading axes change places, and rows stay whole
        float[] source = floats(x).values();
        int rows = dim(x, axes[0]);
        int columns = dim(x, axes[1]);
        int width = dim(x, last);
        float[] y = new float[source.length];
        boolean turned = axes[0] == 1;
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                int from = turned ? column * rows + row : row * columns + column;
                System.arraycopy(source, from * width, y, (row * columns + column) * width, width);
            }
        }
        return new FloatTensor(Shape.of(rows, columns, width), y);
    }

    @Override
    public Tensor reshape(Tensor x, long... dims) {
        FloatTensor own = floats(x);
        long[] resolved = dims.clone();
        long known = 1;
        int open = -1;
        for (int axis = 0; axis < dims.length; axis++) {
            resolved[axis] = dims[axis] == 0 ? x.shape().dim(axis) : dims[axis];
            if (dims[axis] == -1) {
                open = axis;
            } else {
                known *= resolved[axis];
            }
        }
        if (open >= 0) {
            resolved[open] = own.values().length / known;
        }
        return new FloatTensor(Shape.of(resolved), own.values());
    }

    @Override
    public Tensor matMul(Tensor left, Tensor right) {
        int rank = left.shape().rank();
        boolean alike = rank == right.shape().rank()
                && left.shape()
                        .dims()
                        .subList(0, rank - 2)
                        .equals(right.shape().dims().subList(0, rank - 2));
        if (!alike) {
            return narrow(rest.matMul(left, right));
        }
        float[] a = floats(left).values();
        float[] b = floats(right).values();
        int rows = dim(left, rank - 2);
        int depth = dim(left, rank - 1);
        int columns = dim(right, rank - 1);
        int count = rows * depth == 0 ? 0 : a.length / (rows * depth);
        float[] y = new float[Math.multiplyExact(count, Math.multiplyExact(rows, columns))];
        int width = Math.min(columns, COLUMNS);
        float[][] panel = new float[depth][width];
        float[] first = new float[width];
        float[] second = new float[width];
        for (int i = 0; i < count; i++) {
            for (int from = 0; from < columns; from += width) {
                int some = Math.min(width, columns - from);
                for (int k = 0; k < depth; k++) {
                    System.arraycopy(b, (i * depth + k) * columns + from, panel[k], 0, some);
                }
                for (int row = 0; row < rows; row += 2) {
                    boolean pair = row + 1 < rows;
                    int aAt = (i * rows + row) * depth;
                    sumRows(a, aAt, pair ? aAt + depth : aAt, panel, depth, first, second, some);
                    System.arraycopy(first, 0, y, (i * rows + row) * columns + from, some);
                    if (pair) {
                        System.arraycopy(second, 0, y, (i * rows + row + 1) * columns + from, some);
                    }
                }
            }
        }
        return new FloatTensor(with(left.shape(), rank - 1, columns), y);
    }

    /** Part of two rows of a product, four values of k at a time: each element of the panel is loaded for both. */
    private static void sumRows(
            float[] a, int one, int other, float[][] panel, int depth, float[] first, float[] second, int count) {
        Arrays.fill(first, 0, count, 0);
        Arrays.fill(second, 0, count, 0);
        int k = 0;
        for (; k + 4 <= depth; k += 4) {
            addFour(a, one + k, other + k, panel[k], panel[k + 1], panel[k + 2], panel[k + 3], first, second, count);
        }
        for (; k < depth; k++) {
            addOne(a[one + k], panel[k], first, count);
            addOne(a[other + k], panel[k], second, count);
        }
    }

    // all arrays are read and written at one index: the compiler then knows that no element depends on another
    private static void addFour(
            float[] a,
            int one,
            int other,
            float[] b0,
            float[] b1,
            float[] b2,
            float[] b3,
            float[] first,
            float[] second,
            int count) {
        float a0 = a[one];
        float a1 = a[one + 1];
        float a2 = a[one + 2];
        float a3 = a[one + 3];
        float c0 = a[other];
        float c1 = a[other + 1];
        float c2 = a[other + 2];
        float c3 = a[other + 3];
        for (int i = 0; i < count; i++) {
            first[i] = Math.fma(a3, b3[i], Math.fma(a2, b2[i], Math.fma(a1, b1[i], Math.fma(a0, b0[i], first[i]))));
            second[i] = Math.fma(c3, b3[i], Math.fma(c2, b2[i], Math.fma(c1, b1[i], Math.fma(c0, b0[i], second[i]))));
        }
    }

    private static void addOne(float a, float[] b, float[] y, int count) {
        for (int i = 0; i < count; i++) {
            y[i] = Math.fma(a, b[i], y[i]);
        }
    }

    /** Two-operand arithmetic on runs of elements. */
    private enum Operation {
        ADD,
        MULTIPLY,
        DIVIDE;

        void apply(float[] a, float[] b, float[] y) {
            switch (this) {
                case ADD -> {
                    for (int i = 0; i < y.length; i++) {
                        y[i] = a[i] + b[i];
                    }
                }
                case MULTIPLY -> {
                    for (int i = 0; i < y.length; i++) {
                        y[i] = a[i] * b[i];
                    }
                }
                case DIVIDE -> {
                    for (int i = 0; i < y.length; i++) {
                        y[i] = a[i] / b[i];
                    }
                }
            }
        }

        void apply(float[] a, int aAt, float[] b, int bAt, float[] y, int at, int count) {
            switch (this) {
                case ADD -> {
                    for (int i = 0; i < count; i++) {
                        y[at + i] = a[aAt + i] + b[bAt + i];
                    }
                }
                case MULTIPLY -> {
                    for (int i = 0; i < count; i++) {
                        y[at + i] = a[aAt + i] * b[bAt + i];
                    }
                }
                case DIVIDE -> {
                    for (int i = 0; i < count; i++) {
                        y[at + i] = a[aAt + i] / b[bAt + i];
                    }
                }
            }
        }

        void applyScalar(float[] a, int aAt, float b, float[] y, int at, int count) {
            switch (this) {
                case ADD -> {
                    for (int i = 0; i < count; i++) {
                        y[at + i] = a[aAt + i] + b;
                    }
                }
                case MULTIPLY -> {
                    for (int i = 0; i < count; i++) {
                        y[at + i] = a[aAt + i] * b;
                    }
                }
                case DIVIDE -> {
                    for (int i = 0; i < count; i++) {
                        y[at + i] = a[aAt + i] / b;
                    }
                }
            }
        }
    }

    private FloatTensor combine(Tensor left, Tensor right, Operation operation) {
        float[] a = floats(left).values();
        float[] b = floats(right).values();
        if (left.shape().equals(right.shape())) {
            float[] y = new float[a.length];
            operation.apply(a, b, y);
            return new FloatTensor(left.shape(), y);
        }
        Shape shape = broadcast(left.shape(), right.shape());
        float[] y = new float[Math.toIntExact(shape.elements())];
        int[] aStrides = strides(left.shape(), shape);
        int[] bStrides = strides(right.shape(), shape);
        int last = shape.rank() - 1;
        int width = Math.toIntExact(shape.dim(last));
        int[] index = new int[shape.rank()];
        for (int at = 0; at < y.length; at += width) {
            int aAt = 0;
            int bAt = 0;
            for (int axis = 0; axis < last; axis++) {
                aAt += index[axis] * aStrides[axis];
                bAt += index[axis] * bStrides[axis];
            }
            run(operation, a, aAt, aStrides[last], b, bAt, bStrides[last], y, at, width);
            for (int axis = last - 1; axis >= 0 && ++index[axis] == shape.dim(axis); axis--) {
                index[axis] = 0;
            }
        }
        return new FloatTensor(shape, y);
    }

    private static void run(
            Operation operation,
            float[] a,
            int aAt,
            int aStep,
            float[] b,
            int bAt,
            int bStep,
            float[] y,
            int at,
            int width) {
        if (aStep == 1 && bStep == 1) {
            operation.apply(a, aAt, b, bAt, y, at, width);
        } else if (aStep == 1) {
            operation.applyScalar(a, aAt, b[bAt], y, at, width);
        } else if (bStep == 1 && operation != Operation.DIVIDE) {
            operation.applyScalar(b, bAt, a[aAt], y, at, width);
        } else {
            for (int i = 0; i < width; i++) {
                operation.apply(a, aAt + i * aStep, b, bAt + i * bStep, y, at + i, 1);
            }
        }
    }

    private static Shape broadcast(Shape left, Shape right) {
        long[] dims = new long[Math.max(left.rank(), right.rank())];
        for (int i = 1; i <= dims.length; i++) {
            long l = i <= left.rank() ? left.dim(left.rank() - i) : 1;
            long r = i <= right.rank() ? right.dim(right.rank() - i) : 1;
            if (l != r && l != 1 && r != 1) {
                throw new IllegalArgumentException(left + " and " + right + " do not broadcast");
            }
            dims[dims.length - i] = l == 1 ? r : l;
        }
        return Shape.of(dims);
    }

    /** Of each axis of {@code to}, how far apart its neighbours lie in a tensor that broadcasts to it. */
    private static int[] strides(Shape from, Shape to) {
        int[] strides = new int[to.rank()];
        int stride = 1;
        for (int i = 1; i <= from.rank(); i++) {
            long dim = from.dim(from.rank() - i);
            strides[to.rank() - i] = dim == 1 ? 0 : stride;
            stride *= (int) dim;
        }
        return strides;
    }

    @Override
    public Tensor add(Tensor left, Tensor right) {
        return combine(left, right, Operation.ADD);
    }

    @Override
    public Tensor mul(Tensor left, Tensor right) {
        return combine(left, right, Operation.MULTIPLY);
    }

    @Override
    public Tensor div(Tensor left, Tensor right) {
        return combine(left, right, Operation.DIVIDE);
    }

    @Override
    public Tensor affine(Tensor x, double scale, double shift) {
        float[] source = floats(x).values();
        float[] y = new float[source.length];
        float factor = (float) scale;
        float added = (float) shift;
        for (int i = 0; i < y.length; i++) {
            y[i] = source[i] * factor + added;
        }
        return new FloatTensor(x.shape(), y);
    }

    @Override
    public Tensor embedding(Tensor table, Tensor ids) {
        float[] rows = floats(table).values();
        int width = dim(table, 1);
        double[] at = new double[Math.toIntExact(ids.shape().elements())];
        ids.read(0, at, 0, at.length);
        float[] y = new float[at.length * width];
        for (int i = 0; i < at.length; i++) {
            System.arraycopy(rows, ((int) at[i]) * width, y, i * width, width);
        }
        long[] dims = Arrays.copyOf(ids.shape().toArray(), ids.shape().rank() + 1);
        dims[ids.shape().rank()] = width;
        return new FloatTensor(Shape.of(dims), y);
    }

    @Override
    public Tensor scatter(Tensor values, Tensor places, Region region) {
        float[] own = floats(values).values();
        float[] at = floats(places).values();
        float[] y = new float[Math.multiplyExact(region.rows(), region.columns())];
        // places in the order of rows, as PEFT stores them, are found at once
        boolean sorted = ordered.computeIfAbsent(places, absent -> isSorted(at, own.length));
        int from = sorted ? firstAtLeast(at, own.length, region.row()) : 0;
        int to = sorted ? firstAtLeast(at, own.length, region.rowEnd()) : own.length;
        for (int i = from; i < to; i++) {
            int row = ((int) at[i]) - region.row();
            int column = ((int) at[own.length + i]) - region.column();
            if (row >= 0 && row < region.rows() && column >= 0 && column < region.columns()) {
                y[row * region.columns() + column] += own[i];
            }
        }
        return new FloatTensor(Shape.of(region.rows(), region.columns()), y);
    }

    private static boolean isSorted(float[] values, int count) {
        for (int i = 1; i < count; i++) {
            if (values[i] < values[i - 1]) {
                return false;
            }
        }
        return true;
    }

    private static int firstAtLeast(float[] sorted, int count, int value) {
        int low = 0;
        int high = count;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (sorted[middle] < value) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    @Override
    public Tensor inverseFourier(Tensor values, int[] rowAt, int[] columnAt, int rows, int columns) {
        return narrow(rest.inverseFourier(values, rowAt, columnAt, rows, columns));
    }

    @Override
    public Tensor sum(Tensor x, int axis) {
        return narrow(rest.sum(x, axis));
    }

    @Override
    public Tensor sqrt(Tensor x) {
        return narrow(rest.sqrt(x));
    }

    @Override
    public Tensor cos(Tensor angles) {
        return narrow(rest.cos(angles));
    }

    @Override
    public Tensor sin(Tensor angles) {
        return narrow(rest.sin(angles));
    }

    @Override
    public Tensor softmax(Tensor x) {
        return narrow(rest.softmax(x));
    }

    @Override
    public Tensor activation(Tensor x, Activation f) {
        return narrow(rest.activation(x, f));
    }

    @Override
    public Tensor inverse(Tensor x, int count, int n) {
        return narrow(rest.inverse(x, count, n));
    }
}
