package dev.adapt.merge.plan;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Frequencies;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * The interpreter that gives a merge its factors: float64, as {@link ReferenceOps} computes it, but slices and transposed
 * matrices stay where they are until they are read, and a product streams its left side. So a factor that is stored is
 * never held whole, and a method whose factors come from the frozen weight never holds that.
 */
public final class FactorOps implements MatrixOps<Tensor> {
    /** Elements of a left side in memory at a time. */
    private static final int BLOCK = 1 << 16;

    private final ReferenceOps reference = new ReferenceOps();
    private final ExpertColumns columns;

    public FactorOps() {
        this(new ExpertColumns());
    }

    /**
     * An interpreter that shares what it keeps of stacks of experts with others.
     *
     * @param columns theirs
     */
    FactorOps(ExpertColumns columns) {
        this.columns = columns;
    }

    /** Some rows, or some columns, of a matrix. */
    private record Slice(Tensor source, int axis, long first, Shape shape) implements Tensor {
        @Override
        public float[] toFloats() {
            return all(this).toFloats();
        }

        @Override
        public void read(long from, double[] into, int at, int count) {
            long width = shape.dim(1);
            long stride = source.shape().dim(1);
            if (axis == 0) {
                source.read(first * stride + from, into, at, count);
                return;
            }
            for (int done = 0; done < count; ) {
                long row = (from + done) / width;
                long column = (from + done) % width;
                int run = (int) Math.min(count - done, width - column);
                source.read(row * stride + first + column, into, at + done, run);
                done += run;
            }
        }
    }

    /** A matrix with rows and columns exchanged. */
    private record Transposed(Tensor source) implements Tensor {
        @Override
        public Shape shape() {
            return Shape.of(source.shape().dim(1), source.shape().dim(0));
        }

        @Override
        public float[] toFloats() {
            return all(this).toFloats();
        }

        @Override
        public void read(long from, double[] into, int at, int count) {
            long rows = source.shape().dim(0);
            long columns = source.shape().dim(1);
            if (count == 0) {
                return;
            }
            long first = from / rows;
            int width = (int) ((from + count - 1) / rows - first + 1);
            double[] run = new double[width];
            // a run of each row of what is stored, since each reading may be one of a file
            for (long row = 0; row < rows; row++) {
                long place = first * rows + row - from;
                if (width == 1 && (place < 0 || place >= count)) {
                    continue;
                }
                source.read(row * columns + first, run, 0, width);
                for (int i = 0; i < width; i++, place += rows) {
                    if (place >= 0 && place < count) {
                        into[at + (int) place] = run[i];
                    }
                }
            }
        }
    }

    private static DoubleTensor wide(Tensor tensor) {
        return tensor instanceof Slice || tensor instanceof Transposed ? all(tensor) : DoubleTensor.of(tensor);
    }

    private static DoubleTensor all(Tensor tensor) {
        double[] values = new double[Math.toIntExact(tensor.shape().elements())];
        tensor.read(0, values, 0, values.length);
        return new DoubleTensor(tensor.shape(), values);
    }

    private static int dim(Tensor tensor, int axis) {
        return Math.toIntExact(tensor.shape().dim(axis));
    }

    private static boolean isMatrix(Tensor tensor) {
        return tensor.shape().rank() == 2;
    }

    @Override
    public Tensor slice(Tensor x, int axis, long from, long to) {
        if (from == 0 && to == x.shape().dim(axis)) {
            return x;
        }
        if (!isMatrix(x)) {
            return reference.slice(wide(x), axis, from, to);
        }
        Shape shape = axis == 0
                ? Shape.of(to - from, x.shape().dim(1))
                : Shape.of(x.shape().dim(0), to - from);
        return new Slice(x, axis, from, shape);
    }

    @Override
    public Tensor transpose(Tensor x, int... axes) {
        if (x instanceof FloatTensor floats && isMatrix(x) && axes[0] == 1) {
            return floats.transposed();
        }
        boolean stored = isMatrix(x) && axes[0] == 1 && !(x instanceof DoubleTensor);
        return stored ? new Transposed(x) : reference.transpose(wide(x), axes);
    }

    /** Row by row of what is stored on the left, each sum in the order of k, as the reference has it. */
    @Override
    public Tensor matMul(Tensor left, Tensor right) {
        if (left instanceof Transposed(Tensor source)) {
            return right instanceof Transposed(Tensor other)
                    ? reference.transpose(wide(matMul(other, source)), 1, 0)
                    : turnedMatMul(source, right);
        }
        if (!isMatrix(left) || left instanceof DoubleTensor) {
            return reference.matMul(wide(left), wide(right));
        }
        int rows = dim(left, 0);
        int inner = dim(left, 1);
        int columns = dim(right, 1);
        DoubleTensor whole = wide(right);
        double[] product = new double[rows * columns];
        int step = Math.max(1, BLOCK / inner);
        for (int row = 0; row < rows; row += step) {
            int count = Math.min(step, rows - row);
            double[] block = new double[count * inner];
            left.read((long) row * inner, block, 0, block.length);
            DoubleTensor some = reference.matMul(new DoubleTensor(Shape.of(count, inner), block), whole);
            System.arraycopy(some.values(), 0, product, row * columns, count * columns);
        }
        return new DoubleTensor(Shape.of(rows, columns), product);
    }

    /** {@code sourceᵀ·right}, row by row of both, of which the smaller is held. */
    private static DoubleTensor turnedMatMul(Tensor source, Tensor right) {
        int rows = dim(source, 1);
        int inner = dim(source, 0);
        int columns = dim(right, 1);
        Tensor left = rows < columns ? wide(source) : source;
        Tensor other = rows < columns ? right : wide(right);
        double[] product = new double[rows * columns];
        double[] line = new double[rows];
        double[] across = new double[columns];
        for (int k = 0; k < inner; k++) {
            left.read((long) k * rows, line, 0, rows);
            other.read((long) k * columns, across, 0, columns);
            for (int row = 0; row < rows; row++) {
                for (int column = 0; column < columns; column++) {
                    product[row * columns + column] += line[row] * across[column];
                }
            }
        }
        return new DoubleTensor(Shape.of(rows, columns), product);
    }

    @Override
    public Tensor computed(Tensor x, UnaryOperator<DoubleTensor> function) {
        return function.apply(wide(x));
    }

    @Override
    public Tensor constant(FloatTensor values) {
        return values;
    }

    @Override
    public Tensor every(Tensor x, int first, int step) {
        boolean wide = x instanceof DoubleTensor || (x instanceof TensorView view && view.dtype() == Dtype.F64);
        return step == 1 || wide ? MatrixOps.super.every(x, first, step) : columns.of(x, first, step);
    }

    @Override
    public Tensor reshape(Tensor x, long... dims) {
        return reference.reshape(wide(x), dims);
    }

    @Override
    public Tensor add(Tensor left, Tensor right) {
        return reference.add(wide(left), wide(right));
    }

    @Override
    public Tensor mul(Tensor left, Tensor right) {
        return reference.mul(wide(left), wide(right));
    }

    @Override
    public Tensor div(Tensor left, Tensor right) {
        return reference.div(wide(left), wide(right));
    }

    @Override
    public Tensor affine(Tensor x, double scale, double shift) {
        return reference.affine(wide(x), scale, shift);
    }

    @Override
    public Tensor concat(int axis, List<Tensor> parts) {
        return reference.concat(axis, parts.stream().map(FactorOps::wide).toList());
    }

    @Override
    public Tensor sum(Tensor x, int axis) {
        return reference.sum(wide(x), axis);
    }

    @Override
    public Tensor sqrt(Tensor x) {
        return reference.sqrt(wide(x));
    }

    @Override
    public Tensor softmax(Tensor x) {
        return reference.softmax(wide(x));
    }

    @Override
    public Tensor activation(Tensor x, Activation f) {
        return reference.activation(wide(x), f);
    }

    @Override
    public Tensor embedding(Tensor table, Tensor ids) {
        return reference.embedding(wide(table), wide(ids));
    }

    @Override
    public Tensor integers(long... values) {
        return reference.integers(values);
    }

    @Override
    public Tensor inverse(Tensor x, int count, int n) {
        return reference.inverse(wide(x), count, n);
    }

    @Override
    public Tensor scatter(Tensor values, Tensor places, Region region) {
        return reference.scatter(wide(values), wide(places), region);
    }

    @Override
    public Tensor inverseFourier(Tensor values, Frequencies at, Region region) {
        return reference.inverseFourier(wide(values), at, region);
    }

    @Override
    public Tensor cos(Tensor angles) {
        return reference.cos(wide(angles));
    }

    @Override
    public Tensor sin(Tensor angles) {
        return reference.sin(wide(angles));
    }
}
