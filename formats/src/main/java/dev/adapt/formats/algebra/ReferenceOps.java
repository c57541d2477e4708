package dev.adapt.formats.algebra;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;

/**
 * The plainest interpreter: float64 Java arrays, each operation as its definition reads. It is the oracle that the fast
 * ones are compared with, and folds adapters' factors for merging.
 */
public final class ReferenceOps implements Ops<DoubleTensor> {
    private static final int TILE = 4;

    /** Operations that are worth waking other threads. */
    private static final int PARALLEL = 1 << 23;

    /** A function of an element counts as so many multiplications. */
    private static final int FUNCTION = 8;

    /** Rows of a product that one task computes, and columns that it computes before the next ones. */
    private static final int ROWS = 64;

    private static final int COLUMNS = 1 << 9;

    /** Elements that one task maps. */
    private static final int RUN = 1 << 14;

    @Override
    public DoubleTensor constant(FloatTensor values) {
        return DoubleTensor.of(values);
    }

    @Override
    public DoubleTensor linear(DoubleTensor x, DoubleTensor weight, Optional<DoubleTensor> bias) {
        int in = dim(weight, 1);
        int out = dim(weight, 0);
        int rows = outer(x.shape(), x.shape().rank() - 1);
        double[] start = bias.isPresent() ? bias.get().values() : new double[out];
        double[] y = new double[rows * out];
        tasks((out + TILE - 1) / TILE, (long) y.length * in).forEach(tile -> {
            int from = tile * TILE;
            if (from + TILE <= out) {
                fourColumns(x.values(), weight.values(), start, y, in, out, from);
            } else {
                columns(x.values(), weight.values(), start, y, in, out, from);
            }
        });
        return new DoubleTensor(x.shape().with(x.shape().rank() - 1, out), y);
    }

    /** Columns {@code from} to the last of y [rows, out]. */
    private static void columns(double[] x, double[] weight, double[] start, double[] y, int in, int out, int from) {
        for (int at = 0; at < y.length; at += out) {
            int row = at / out * in;
            for (int o = from; o < out; o++) {
                double sum = start[o];
                for (int i = 0; i < in; i++) {
                    sum += x[row + i] * weight[o * in + i];
                }
                y[at + o] = sum;
            }
        }
    }

    /** Four columns of y at once: their sums, each in the same order as above, do not wait for each other. */
    private static void fourColumns(
            double[] x, double[] weight, double[] start, double[] y, int in, int out, int from) {
        int w0 = from * in;
        int w1 = w0 + in;
        int w2 = w1 + in;
        int w3 = w2 + in;
        for (int at = from; at < y.length; at += out) {
            int row = at / out * in;
            double sum0 = start[from];
            double sum1 = start[from + 1];
            double sum2 = start[from + 2];
            double sum3 = start[from + 3];
            for (int i = 0; i < in; i++) {
                double value = x[row + i];
                sum0 += value * weight[w0 + i];
                sum1 += value * weight[w1 + i];
                sum2 += value * weight[w2 + i];
                sum3 += value * weight[w3 + i];
            }
            y[at] = sum0;
            y[at + 1] = sum1;
            y[at + 2] = sum2;
            y[at + 3] = sum3;
        }
    }

    @Override
    public DoubleTensor computed(DoubleTensor x, UnaryOperator<DoubleTensor> function) {
        return function.apply(x);
    }

    @Override
    public DoubleTensor matMul(DoubleTensor left, DoubleTensor right) {
        int n = dim(left, -2);
        int k = dim(left, -1);
        int m = dim(right, -1);
        Shape batch = leading(left).broadcast(leading(right));
        int[] leftAt = offsets(leading(left), batch);
        int[] rightAt = offsets(leading(right), batch);
        double[] a = left.values();
        double[] b = right.values();
        double[] y = new double[leftAt.length * n * m];
        int parts = Math.ceilDiv(n, ROWS);
        tasks(leftAt.length * parts, (long) y.length * k).forEach(task -> {
            int matrix = task / parts;
            int first = task % parts * ROWS;
            int count = Math.min(ROWS, n - first);
            int leftRow = leftAt[matrix] * n + first;
            multiply(a, leftRow * k, b, rightAt[matrix] * k * m, y, (matrix * n + first) * m, count, k, m);
        });
        long[] dims = Arrays.copyOf(batch.toArray(), batch.rank() + 2);
        dims[batch.rank()] = n;
        dims[batch.rank() + 1] = m;
        return new DoubleTensor(Shape.of(dims), y);
    }

    /** Some rows of a product. Each row of the right matrix is copied to an array of its own: loops over those vectorise. */
    private static void multiply(double[] a, int aAt, double[] b, int bAt, double[] y, int at, int rows, int k, int m) {
        int width = Math.min(m, COLUMNS);
        double[][] panel = new double[k][width];
        double[] sums = new double[width];
        for (int column = 0; column < m; column += COLUMNS) {
            int some = Math.min(width, m - column);
            for (int p = 0; p < k; p++) {
                System.arraycopy(b, bAt + p * m + column, panel[p], 0, some);
            }
            for (int row = 0; row < rows; row++) {
                Arrays.fill(sums, 0);
                for (int p = 0; p < k; p++) {
                    addScaled(sums, panel[p], a[aAt + row * k + p], some);
                }
                System.arraycopy(sums, 0, y, at + row * m + column, some);
            }
        }
    }

    private static void addScaled(double[] sums, double[] row, double scale, int count) {
        for (int i = 0; i < count; i++) {
            sums[i] += scale * row[i];
        }
    }

    /** Numbers of tasks, shared by threads where that pays. */
    private static IntStream tasks(int count, long operations) {
        IntStream tasks = IntStream.range(0, count);
        return operations < PARALLEL ? tasks : tasks.parallel();
    }

    @Override
    public DoubleTensor transpose(DoubleTensor x, int... axes) {
        long[] dims = Arrays.stream(axes).mapToLong(x.shape()::dim).toArray();
        if (exchangesLastTwo(axes)) {
            return new DoubleTensor(Shape.of(dims), transposed(x.values(), dim(x, -2), dim(x, -1)));
        }
        int[] from = strides(x.shape());
        int[] strides = Arrays.stream(axes).map(axis -> from[axis]).toArray();
        int[] at = positions(Shape.of(dims), strides);
        double[] y = new double[at.length];
        for (int i = 0; i < y.length; i++) {
            y[i] = x.values()[at[i]];
        }
        return new DoubleTensor(Shape.of(dims), y);
    }

    private static boolean exchangesLastTwo(int[] axes) {
        int last = axes.length - 1;
        boolean exchanged = last > 0 && axes[last] == last - 1 && axes[last - 1] == last;
        for (int axis = 0; exchanged && axis < last - 1; axis++) {
            exchanged = axes[axis] == axis;
        }
        return exchanged;
    }

    /** Matrices one after the other, each transposed. */
    private static double[] transposed(double[] x, int rows, int columns) {
        double[] y = new double[x.length];
        for (int first = 0; first < x.length; first += rows * columns) {
            for (int row = 0; row < rows; row++) {
                for (int column = 0; column < columns; column++) {
                    y[first + column * rows + row] = x[first + row * columns + column];
                }
            }
        }
        return y;
    }

    @Override
    public DoubleTensor reshape(DoubleTensor x, long... dims) {
        return new DoubleTensor(x.shape().reshaped(dims), x.values());
    }

    @Override
    public DoubleTensor slice(DoubleTensor x, int axis, long from, long to) {
        int inner = inner(x.shape(), axis);
        int size = dim(x, axis);
        int outer = outer(x.shape(), axis);
        int kept = (int) (to - from) * inner;
        double[] y = new double[outer * kept];
        for (int o = 0; o < outer; o++) {
            System.arraycopy(x.values(), (o * size + (int) from) * inner, y, o * kept, kept);
        }
        return new DoubleTensor(x.shape().with(axis, to - from), y);
    }

    @Override
    public DoubleTensor add(DoubleTensor left, DoubleTensor right) {
        return combine(left, right, Double::sum);
    }

    @Override
    public DoubleTensor mul(DoubleTensor left, DoubleTensor right) {
        return combine(left, right, (a, b) -> a * b);
    }

    @Override
    public DoubleTensor div(DoubleTensor left, DoubleTensor right) {
        return combine(left, right, (a, b) -> a / b);
    }

    @Override
    public DoubleTensor affine(DoubleTensor x, double scale, double shift) {
        return map(x, value -> value * scale + shift);
    }

    @Override
    public DoubleTensor concat(int axis, List<DoubleTensor> parts) {
        Shape first = parts.getFirst().shape();
        int size = parts.stream().mapToInt(part -> dim(part, axis)).sum();
        int inner = inner(first, axis);
        int outer = outer(first, axis);
        double[] y = new double[outer * size * inner];
        int start = 0;
        for (DoubleTensor part : parts) {
            int run = dim(part, axis) * inner;
            for (int o = 0; o < outer; o++) {
                System.arraycopy(part.values(), o * run, y, o * size * inner + start, run);
            }
            start += run;
        }
        return new DoubleTensor(first.with(axis, size), y);
    }

    @Override
    public DoubleTensor sum(DoubleTensor x, int axis) {
        DoubleTensor sum = slice(x, axis, 0, 1);
        for (int i = 1; i < dim(x, axis); i++) {
            sum = add(sum, slice(x, axis, i, i + 1L));
        }
        return sum;
    }

    @Override
    public DoubleTensor maximum(DoubleTensor x, int axis) {
        DoubleTensor most = slice(x, axis, 0, 1);
        for (int i = 1; i < dim(x, axis); i++) {
            double[] values = slice(x, axis, i, i + 1L).values();
            double[] before = most.values();
            most = new DoubleTensor(
                    most.shape(),
                    IntStream.range(0, values.length)
                            .mapToDouble(at -> Math.max(before[at], values[at]))
                            .toArray());
        }
        return most;
    }

    @Override
    public DoubleTensor sqrt(DoubleTensor x) {
        return map(x, Math::sqrt);
    }

    @Override
    public DoubleTensor softmax(DoubleTensor x) {
        int width = dim(x, -1);
        double[] y = new double[x.values().length];
        for (int row = 0; row < y.length; row += width) {
            double max = Arrays.stream(x.values(), row, row + width).max().orElse(0);
            double sum = 0;
            for (int i = row; i < row + width; i++) {
                y[i] = Math.exp(x.values()[i] - max);
                sum += y[i];
            }
            for (int i = row; i < row + width; i++) {
                y[i] /= sum;
            }
        }
        return new DoubleTensor(x.shape(), y);
    }

    @Override
    public DoubleTensor activation(DoubleTensor x, Activation f) {
        return map(
                x,
                switch (f) {
                    case GELU -> value -> 0.5 * value * (1 + erf(value / Math.sqrt(2)));
                    case GELU_TANH ->
                        value -> 0.5
                                * value
                                * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (value + 0.044715 * value * value * value)));
                    case RELU -> value -> Math.max(value, 0);
                    case SILU -> value -> value / (1 + Math.exp(-value));
                    case TANH -> Math::tanh;
                    case SIGMOID -> value -> 1 / (1 + Math.exp(-value));
                    case EXP -> Math::exp;
                    case GELU_SIGMOID -> value -> value / (1 + Math.exp(-1.702 * value));
                    case RELU_SQUARED -> value -> Math.max(value, 0) * Math.max(value, 0);
                });
    }

    /** The error function to float64 precision: its series near 0, the continued fraction of erfc further out. */
    static double erf(double x) {
        double z = Math.abs(x);
        double value;
        if (z < 2.5) {
            double term = z;
            double sum = z;
            for (int n = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && n < 200; n++) {
                // the all-positive form exp(-z²)·Σ 2ⁿz²ⁿ⁺¹/(2n+1)!! loses no digits to cancellation
                term *= 2 * z * z / (2 * n + 1);
                sum += term;
            }
            value = 2 / Math.sqrt(Math.PI) * Math.exp(-z * z) * sum;
        } else {
            double fraction = 0;
            for (int n = 60; n > 0; n--) {
                fraction = n / 2.0 / (z + fraction);
            }
            value = 1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction);
        }
        return Math.copySign(value, x);
    }

    @Override
    public DoubleTensor layerNorm(DoubleTensor x, DoubleTensor weight, DoubleTensor bias, double epsilon) {
        int width = dim(x, -1);
        double[] y = new double[x.values().length];
        for (int row = 0; row < y.length; row += width) {
            double mean = Arrays.stream(x.values(), row, row + width).average().orElse(0);
            double variance = Arrays.stream(x.values(), row, row + width)
                    .map(value -> (value - mean) * (value - mean))
                    .average()
                    .orElse(0);
            double scale = 1 / Math.sqrt(variance + epsilon);
            for (int i = 0; i < width; i++) {
                y[row + i] = (x.values()[row + i] - mean) * scale * weight.values()[i] + bias.values()[i];
            }
        }
        return new DoubleTensor(x.shape(), y);
    }

    @Override
    public DoubleTensor rmsNorm(DoubleTensor x, DoubleTensor weight, double epsilon) {
        int width = dim(x, -1);
        double[] y = new double[x.values().length];
        for (int row = 0; row < y.length; row += width) {
            double square = Arrays.stream(x.values(), row, row + width)
                    .map(value -> value * value)
                    .average()
                    .orElse(0);
            for (int i = 0; i < width; i++) {
                y[row + i] = x.values()[row + i] / Math.sqrt(square + epsilon) * weight.values()[i];
            }
        }
        return new DoubleTensor(x.shape(), y);
    }

    @Override
    public DoubleTensor embedding(DoubleTensor table, DoubleTensor ids) {
        int width = dim(table, 1);
        double[] y = new double[ids.values().length * width];
        for (int i = 0; i < ids.values().length; i++) {
            System.arraycopy(table.values(), ((int) ids.values()[i]) * width, y, i * width, width);
        }
        long[] dims = Arrays.copyOf(ids.shape().toArray(), ids.shape().rank() + 1);
        dims[ids.shape().rank()] = width;
        return new DoubleTensor(Shape.of(dims), y);
    }

    @Override
    public DoubleTensor scatter(DoubleTensor values, DoubleTensor places, Region region) {
        int count = values.values().length;
        double[] y = new double[Math.multiplyExact(region.rows(), region.columns())];
        for (int i = 0; i < count; i++) {
            int row = (int) places.values()[i] - region.row();
            int column = (int) places.values()[count + i] - region.column();
            if (row >= 0 && row < region.rows() && column >= 0 && column < region.columns()) {
                y[row * region.columns() + column] += values.values()[i];
            }
        }
        return new DoubleTensor(Shape.of(region.rows(), region.columns()), y);
    }

    @Override
    public DoubleTensor inverseFourier(DoubleTensor values, Frequencies at, Region region) {
        if (region.columns() < at.columns()) {
            return transpose(inverseFourier(values, at.transposed(), region.transposed()), 1, 0);
        }
        return new DoubleTensor(
                Shape.of(region.rows(), at.columns()),
                Fourier.realInverse(values.values(), at, region.row(), region.rows()));
    }

    @Override
    public DoubleTensor positions(DoubleTensor ids) {
        double[] y = new double[dim(ids, 1)];
        Arrays.setAll(y, i -> i);
        return new DoubleTensor(Shape.of(1, y.length), y);
    }

    @Override
    public DoubleTensor toFloat(DoubleTensor integers) {
        return integers;
    }

    @Override
    public DoubleTensor integers(long... values) {
        return new DoubleTensor(
                Shape.of(values.length), Arrays.stream(values).asDoubleStream().toArray());
    }

    /** By Gauss-Jordan elimination with partial pivoting. */
    @Override
    public DoubleTensor inverse(DoubleTensor x, int count, int n) {
        double[] y = new double[count * n * n];
        for (int i = 0; i < count; i++) {
            double[] left = Arrays.copyOfRange(x.values(), i * n * n, (i + 1) * n * n);
            double[] right = new double[n * n];
            for (int k = 0; k < n; k++) {
                right[k * n + k] = 1;
            }
            for (int k = 0; k < n; k++) {
                eliminate(left, right, n, k);
            }
            System.arraycopy(right, 0, y, i * n * n, n * n);
        }
        return new DoubleTensor(Shape.of(count, n, n), y);
    }

    private static void eliminate(double[] left, double[] right, int n, int k) {
        int pivot = k;
        for (int row = k + 1; row < n; row++) {
            pivot = Math.abs(left[row * n + k]) > Math.abs(left[pivot * n + k]) ? row : pivot;
        }
        swapRows(left, n, k, pivot);
        swapRows(right, n, k, pivot);
        double scale = 1 / left[k * n + k];
        for (int column = 0; column < n; column++) {
            left[k * n + column] *= scale;
            right[k * n + column] *= scale;
        }
        for (int row = 0; row < n; row++) {
            double factor = row == k ? 0 : left[row * n + k];
            for (int column = 0; factor != 0 && column < n; column++) {
                left[row * n + column] -= factor * left[k * n + column];
                right[row * n + column] -= factor * right[k * n + column];
            }
        }
    }

    private static void swapRows(double[] matrix, int n, int one, int other) {
        for (int column = 0; one != other && column < n; column++) {
            double kept = matrix[one * n + column];
            matrix[one * n + column] = matrix[other * n + column];
            matrix[other * n + column] = kept;
        }
    }

    @Override
    public DoubleTensor lookUp(long[] values, DoubleTensor places) {
        return map(places, place -> values[(int) place]);
    }

    @Override
    public DoubleTensor pick(DoubleTensor x, DoubleTensor columns) {
        int rows = dim(columns, 1);
        int chosen = dim(columns, 2);
        int width = dim(x, 3);
        double[] y = new double[x.values().length / width * chosen];
        for (int i = 0; i < y.length; i++) {
            int row = i / chosen;
            int column = (int) columns.values()[row % rows * chosen + i % chosen];
            y[i] = x.values()[row * width + column];
        }
        return new DoubleTensor(x.shape().with(3, chosen), y);
    }

    @Override
    public DoubleTensor equal(DoubleTensor left, DoubleTensor right) {
        return combine(left, right, (a, b) -> a == b ? 1 : 0);
    }

    @Override
    public DoubleTensor lessOrEqual(DoubleTensor left, DoubleTensor right) {
        return combine(left, right, (a, b) -> a <= b ? 1 : 0);
    }

    @Override
    public DoubleTensor cumSum(DoubleTensor integers, int axis) {
        double[] y = integers.values().clone();
        int inner = inner(integers.shape(), axis);
        int run = dim(integers, axis) * inner;
        for (int i = 0; i < y.length; i++) {
            y[i] += i % run < inner ? 0 : y[i - inner];
        }
        return new DoubleTensor(integers.shape(), y);
    }

    @Override
    public DoubleTensor log(DoubleTensor x) {
        return map(x, Math::log);
    }

    @Override
    public DoubleTensor max(DoubleTensor integers) {
        return new DoubleTensor(
                Shape.of(1),
                new double[] {Arrays.stream(integers.values()).max().orElseThrow()});
    }

    @Override
    public DoubleTensor clamp(DoubleTensor x, double low, double high) {
        return map(x, value -> Math.clamp(value, low, high));
    }

    @Override
    public DoubleTensor largest(DoubleTensor x, int count) {
        int width = dim(x, -1);
        double[] y = new double[x.values().length];
        for (int row = 0; row < y.length; row += width) {
            IntStream.range(row, row + width)
                    .boxed()
                    .sorted(Comparator.comparingDouble(i -> -x.values()[i]))
                    .limit(count)
                    .forEach(i -> y[i] = 1);
        }
        return new DoubleTensor(x.shape(), y);
    }

    @Override
    public DoubleTensor tail(DoubleTensor x, DoubleTensor like) {
        return slice(x, x.shape().rank() - 1, dim(x, -1) - (long) dim(like, -1), dim(x, -1));
    }

    @Override
    public DoubleTensor angles(DoubleTensor positions, DoubleTensor frequencies) {
        int width = frequencies.values().length;
        double[] y = new double[positions.values().length * width];
        for (int i = 0; i < y.length; i++) {
            y[i] = (float) positions.values()[i / width] * (float) frequencies.values()[i % width];
        }
        return new DoubleTensor(Shape.of(dim(positions, 0), dim(positions, 1), width), y);
    }

    @Override
    public DoubleTensor cos(DoubleTensor angles) {
        return map(angles, Math::cos);
    }

    @Override
    public DoubleTensor sin(DoubleTensor angles) {
        return map(angles, Math::sin);
    }

    private static DoubleTensor map(DoubleTensor x, DoubleUnaryOperator f) {
        double[] y = new double[x.values().length];
        int parts = Math.ceilDiv(y.length, RUN);
        tasks(parts, (long) y.length * FUNCTION).forEach(part -> {
            int end = Math.min(y.length, (part + 1) * RUN);
            for (int i = part * RUN; i < end; i++) {
                y[i] = f.applyAsDouble(x.values()[i]);
            }
        });
        return new DoubleTensor(x.shape(), y);
    }

    private static DoubleTensor combine(DoubleTensor left, DoubleTensor right, DoubleBinaryOperator f) {
        if (left.shape().equals(right.shape())) {
            double[] y = new double[left.values().length];
            for (int i = 0; i < y.length; i++) {
                y[i] = f.applyAsDouble(left.values()[i], right.values()[i]);
            }
            return new DoubleTensor(left.shape(), y);
        }
        Shape shape = left.shape().broadcast(right.shape());
        int[] leftAt = offsets(left.shape(), shape);
        int[] rightAt = offsets(right.shape(), shape);
        double[] y = new double[leftAt.length];
        for (int i = 0; i < y.length; i++) {
            y[i] = f.applyAsDouble(left.values()[leftAt[i]], right.values()[rightAt[i]]);
        }
        return new DoubleTensor(shape, y);
    }

    private static int dim(DoubleTensor x, int axis) {
        return (int) x.shape().dim(axis < 0 ? x.shape().rank() + axis : axis);
    }

    /** The elements between two neighbours along an axis. */
    private static int inner(Shape shape, int axis) {
        return product(shape.dims().subList(axis + 1, shape.rank()));
    }

    /** How often an axis is run through. */
    private static int outer(Shape shape, int axis) {
        return product(shape.dims().subList(0, axis));
    }

    private static int product(List<Long> dims) {
        return Math.toIntExact(new Shape(dims).elements());
    }

    private static Shape leading(DoubleTensor x) {
        return new Shape(x.shape().dims().subList(0, x.shape().rank() - 2));
    }

    private static int[] strides(Shape shape) {
        int[] strides = new int[shape.rank()];
        int stride = 1;
        for (int axis = shape.rank() - 1; axis >= 0; axis--) {
            strides[axis] = stride;
            stride *= (int) shape.dim(axis);
        }
        return strides;
    }

    /** For each element of {@code to}, where its value lies in a tensor of shape {@code from} that broadcasts to it. */
    private static int[] offsets(Shape from, Shape to) {
        int[] own = strides(from);
        int[] strides = new int[to.rank()];
        for (int i = 1; i <= from.rank(); i++) {
            strides[to.rank() - i] = from.dim(from.rank() - i) == 1 ? 0 : own[from.rank() - i];
        }
        return positions(to, strides);
    }

    private static int[] positions(Shape shape, int[] strides) {
        int[] at = new int[(int) shape.elements()];
        int[] index = new int[shape.rank()];
        int offset = 0;
        for (int i = 0; i < at.length; i++) {
            at[i] = offset;
            for (int axis = shape.rank() - 1; axis >= 0; axis--) {
                offset += strides[axis];
                if (++index[axis] < shape.dim(axis)) {
                    break;
                }
                offset -= strides[axis] * index[axis];
                index[axis] = 0;
            }
        }
        return at;
    }
}
