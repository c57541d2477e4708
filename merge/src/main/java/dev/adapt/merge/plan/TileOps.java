package dev.adapt.merge.plan;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Frequencies;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.InverseFourier;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.kernel.Panels;
import dev.adapt.merge.kernel.Runs;
import dev.adapt.merge.kernel.Scratch;
import dev.adapt.merge.kernel.Strided;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The interpreter for tiles of a weight: float32 in memory, as PEFT computes changes, on the {@link Kernels}. What only
 * rearranges elements moves none: it changes strides. What is rare in tiles goes through float64.
 *
 * @param held what the tiles have in common
 * @param scratch where results go; they are lost when it is reset
 */
public record TileOps(Kernels kernels, Held held, Scratch scratch) implements MatrixOps<Tensor> {
    private static final FactorOps REST = new FactorOps();

    private Strided strided(Tensor tensor) {
        return tensor instanceof Strided same ? same : Strided.of(held.floats(tensor), true);
    }

    private static Tensor narrow(Tensor wide) {
        return Strided.of(FloatTensor.of(wide), false);
    }

    /** A tensor's elements side by side, row-major. */
    private Strided rowMajor(Strided tensor) {
        if (tensor.isRowMajor()) {
            return tensor;
        }
        Strided copy = scratch.rowMajor(tensor.dims());
        tensor.copyTo(copy);
        return copy;
    }

    /** A tensor's elements from the first of an array on, row-major. */
    public float[] floats(Tensor tensor) {
        Strided whole = rowMajor(strided(tensor));
        if (whole.first() == 0) {
            return whole.values();
        }
        Strided copy = scratch.rowMajor(whole.dims());
        whole.copyTo(copy);
        return copy.values();
    }

    @Override
    public Tensor constant(FloatTensor values) {
        return Strided.of(values, false);
    }

    @Override
    public Tensor integers(long... values) {
        return REST.integers(values);
    }

    @Override
    public Tensor slice(Tensor x, int axis, long from, long to) {
        return from == 0 && to == x.shape().dim(axis) ? x : strided(x).slice(axis, (int) from, (int) to);
    }

    @Override
    public Tensor transpose(Tensor x, int... axes) {
        return strided(x).transposed(axes);
    }

    @Override
    public Tensor reshape(Tensor x, long... dims) {
        Strided own = strided(x);
        int[] shape = Strided.dims(x.shape().reshaped(dims));
        return own.reshaped(shape).orElseGet(() -> rowMajor(own).reshaped(shape).orElseThrow());
    }

    @Override
    public Tensor concat(int axis, List<Tensor> parts) {
        List<Strided> all = parts.stream().map(this::strided).toList();
        int[] dims = all.getFirst().dims().clone();
        dims[axis] = all.stream().mapToInt(part -> part.dim(axis)).sum();
        Strided joined = scratch.rowMajor(dims);
        int from = 0;
        for (Strided part : all) {
            part.copyTo(joined.slice(axis, from, from + part.dim(axis)));
            from += part.dim(axis);
        }
        return joined;
    }

    @Override
    public Tensor matMul(Tensor left, Tensor right) {
        Strided a = strided(left);
        Strided b = strided(right);
        Optional<Tensor> joined = shortRows(a, b);
        if (joined.isPresent()) {
            return joined.get();
        }
        int count = a.dim(-2);
        int depth = a.dim(-1);
        int columns = b.dim(-1);
        int[] batch = a.outer(2).broadcastDims(b.outer(2));
        Strided rows = (a.strides()[a.rank() - 1] == 1 ? a : rowMajor(a)).broadcast(joined(batch, count, depth));
        // the result's axes lie in memory as those of the left side: blocks of a row become a row again without a copy
        Strided y = scratch.like(rows, true, joined(batch, count, columns));
        Strided packed = packed(b);
        Runs runs = new Runs(y.outer(2), rows.outer(2), packed.broadcast(batch));
        while (runs.next()) {
            for (int i = 0; i < runs.width(); i++) {
                kernels.multiply(
                        rows.values(),
                        runs.at(1) + i * runs.step(1),
                        rows.strides()[batch.length],
                        count,
                        packed.values(),
                        runs.at(2) + i * runs.step(2),
                        depth,
                        y.values(),
                        runs.at(0) + i * runs.step(0),
                        y.strides()[batch.length],
                        columns);
            }
        }
        return y;
    }

    @Override
    public Tensor matMulBlocks(Tensor x, Tensor blocks, int rows, int count, int n) {
        int together = together(count, n);
        if (together == 1) {
            return MatrixOps.super.matMulBlocks(x, blocks, rows, count, n);
        }
        Strided byGroup =
                strided(blocks).reshaped(count / together, together, n, n).orElseThrow();
        return MatrixOps.super.matMulBlocks(x, joined(byGroup), rows, count / together, n * together);
    }

    /** How many of some blocks are joined to one that is as wide as a panel, or almost. */
    private int together(int count, int columns) {
        int together = Math.clamp(kernels.plain().width() / Math.max(1, columns), 1, Math.max(1, count));
        while (count % together != 0) {
            together--;
        }
        return together;
    }

    /**
     * Small blocks joined to larger ones, with zeros beside them. A product with one takes no longer than with a small block,
     * since the vectors are as wide, and there are fewer. Adding products with 0 changes no sum.
     *
     * @param blocks [groups, some, n, m]
     * @return [groups, some·n, some·m]
     */
    private Strided joined(Strided blocks) {
        return blocks.held() ? held.joined(blocks, TileOps::diagonal) : diagonal(blocks);
    }

    private static Strided diagonal(Strided blocks) {
        int groups = blocks.dim(0);
        int some = blocks.dim(1);
        int n = blocks.dim(2);
        int m = blocks.dim(3);
        float[] values = new float[Strided.elements(groups, some, n, some, m)];
        Strided apart = Strided.rowMajor(values, blocks.held(), groups, some, n, some, m);
        for (int i = 0; i < some; i++) {
            Strided diagonal = apart.slice(1, i, i + 1).slice(3, i, i + 1);
            blocks.slice(1, i, i + 1).copyTo(diagonal.reshaped(groups, 1, n, m).orElseThrow());
        }
        return Strided.rowMajor(values, blocks.held(), groups, some * n, some * m);
    }

    /** A product whose left sides are rows so short that some together, side by side in memory, are one row of a product. */
    private Optional<Tensor> shortRows(Strided a, Strided b) {
        if (a.rank() != 3 || b.rank() != 3 || a.dim(0) != b.dim(0)) {
            return Optional.empty();
        }
        int groups = a.dim(0);
        int n = a.dim(2);
        int m = b.dim(2);
        int together = together(a.dim(1), m);
        Optional<Strided> wide =
                together == 1 ? Optional.empty() : a.reshaped(groups, a.dim(1) / together, together * n);
        return wide.map(rows -> {
            Strided repeated = b.reshaped(groups, 1, n, m).orElseThrow().broadcast(groups, together, n, m);
            return reshape(matMul(rows, joined(repeated)), groups, a.dim(1), m);
        });
    }

    private static int[] joined(int[] batch, int rows, int columns) {
        int[] dims = Arrays.copyOf(batch, batch.length + 2);
        dims[batch.length] = rows;
        dims[batch.length + 1] = columns;
        return dims;
    }

    /** Right factors as the kernels read them; where each begins. */
    private Strided packed(Strided factors) {
        Panels panels = kernels.plain();
        int size = Math.multiplyExact(panels.count(factors.dim(-1)) * panels.width(), factors.dim(-2));
        Strided heads = factors.outer(2);
        int[] dims = Arrays.copyOf(heads.dims(), heads.rank() + 1);
        dims[heads.rank()] = size;
        int all = Math.multiplyExact(heads.elements(), size);
        float[] values = factors.held()
                ? held.packed(factors, own -> pack(own, panels, new float[all]))
                : pack(factors, panels, scratch.take(all));
        return Strided.rowMajor(values, false, dims).outer(1);
    }

    private static float[] pack(Strided factors, Panels panels, float[] into) {
        int depth = factors.dim(-2);
        int columns = factors.dim(-1);
        int rowStep = factors.strides()[factors.rank() - 2];
        int step = factors.strides()[factors.rank() - 1];
        Strided heads = factors.outer(2);
        Strided order = Strided.rowMajor(into, false, heads.dims());
        Runs runs = new Runs(order, heads);
        int to = 0;
        while (runs.next()) {
            for (int i = 0; i < runs.width(); i++) {
                int from = runs.at(1) + i * runs.step(1);
                for (int first = 0; first < columns; first += panels.width()) {
                    int some = Math.min(panels.width(), columns - first);
                    for (int k = 0; k < depth; k++) {
                        int row = from + k * rowStep + first * step;
                        for (int column = 0; column < some; column++) {
                            into[to + column] = factors.values()[row + column * step];
                        }
                        Arrays.fill(into, to + some, to + panels.width(), 0);
                        to += panels.width();
                    }
                }
            }
        }
        return into;
    }

    private Tensor combine(Tensor left, Tensor right, Kernels.Operation operation) {
        Strided a = strided(left);
        Strided b = strided(right);
        int[] dims = a.broadcastDims(b);
        boolean asLeft = Arrays.equals(a.dims(), dims);
        boolean asRight = Arrays.equals(b.dims(), dims);
        Strided y = asLeft || asRight ? scratch.like(asLeft ? a : b, false, dims) : scratch.rowMajor(dims);
        Runs runs = new Runs(y, a.broadcast(dims), b.broadcast(dims));
        while (runs.next()) {
            run(operation, a.values(), b.values(), y.values(), runs);
        }
        return y;
    }

    private void run(Kernels.Operation operation, float[] a, float[] b, float[] y, Runs runs) {
        int at = runs.at(0);
        int aAt = runs.at(1);
        int bAt = runs.at(2);
        int width = runs.width();
        if (runs.step(1) == 1 && runs.step(2) == 1) {
            kernels.combine(operation, a, aAt, b, bAt, y, at, width);
        } else if (runs.step(1) == 1 && runs.step(2) == 0) {
            kernels.combine(operation, a, aAt, b[bAt], y, at, width);
        } else if (runs.step(1) == 0 && runs.step(2) == 1 && operation != Kernels.Operation.DIVIDE) {
            kernels.combine(operation, b, bAt, a[aAt], y, at, width);
        } else {
            for (int i = 0; i < width; i++) {
                y[at + i] = operation.of(a[aAt + i * runs.step(1)], b[bAt + i * runs.step(2)]);
            }
        }
    }

    @Override
    public Tensor add(Tensor left, Tensor right) {
        return combine(left, right, Kernels.Operation.ADD);
    }

    @Override
    public Tensor mul(Tensor left, Tensor right) {
        return combine(left, right, Kernels.Operation.MULTIPLY);
    }

    @Override
    public Tensor div(Tensor left, Tensor right) {
        return combine(left, right, Kernels.Operation.DIVIDE);
    }

    @Override
    public Tensor affine(Tensor x, double scale, double shift) {
        Strided own = strided(x);
        Strided y = scratch.like(own, false, own.dims());
        Runs runs = new Runs(y, own);
        while (runs.next()) {
            if (runs.step(1) == 1) {
                kernels.affine(
                        own.values(), runs.at(1), (float) scale, (float) shift, y.values(), runs.at(0), runs.width());
            } else {
                for (int i = 0; i < runs.width(); i++) {
                    y.values()[runs.at(0) + i] =
                            own.values()[runs.at(1) + i * runs.step(1)] * (float) scale + (float) shift;
                }
            }
        }
        return y;
    }

    @Override
    public Tensor embedding(Tensor table, Tensor ids) {
        float[] rows = floats(table);
        int width = strided(table).dim(1);
        double[] at = new double[Math.toIntExact(ids.shape().elements())];
        ids.read(0, at, 0, at.length);
        int[] dims = Arrays.copyOf(Strided.dims(ids.shape()), ids.shape().rank() + 1);
        dims[ids.shape().rank()] = width;
        Strided y = scratch.rowMajor(dims);
        for (int i = 0; i < at.length; i++) {
            System.arraycopy(rows, ((int) at[i]) * width, y.values(), i * width, width);
        }
        return y;
    }

    @Override
    public Tensor scatter(Tensor values, Tensor places, Region region) {
        float[] own = floats(values);
        float[] at = floats(places);
        int count = strided(values).elements();
        Strided y = scratch.rowMajor(region.rows(), region.columns());
        Arrays.fill(y.values(), 0, y.elements(), 0);
        // places in the order of rows, as PEFT stores them, are found at once
        boolean sorted = held.isOrdered(places, () -> isSorted(at, count));
        int from = sorted ? firstAtLeast(at, count, region.row()) : 0;
        int to = sorted ? firstAtLeast(at, count, region.rowEnd()) : count;
        for (int i = from; i < to; i++) {
            int row = ((int) at[i]) - region.row();
            int column = ((int) at[count + i]) - region.column();
            if (row >= 0 && row < region.rows() && column >= 0 && column < region.columns()) {
                y.values()[row * region.columns() + column] += own[i];
            }
        }
        return y;
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
    public Tensor inverseFourier(Tensor values, Frequencies at, Region region) {
        if (region.columns() < at.columns()) {
            return transpose(inverseFourier(values, at.transposed(), region.transposed()), 1, 0);
        }
        Optional<InverseFourier> fast = held.fourier(at);
        return fast.isPresent()
                ? fast.get().rows(kernels, floats(values), region.row(), region.rows(), scratch)
                : narrow(REST.inverseFourier(values, at, region));
    }

    @Override
    public Tensor sum(Tensor x, int axis) {
        return narrow(REST.sum(x, axis));
    }

    @Override
    public Tensor sqrt(Tensor x) {
        return narrow(REST.sqrt(x));
    }

    @Override
    public Tensor cos(Tensor angles) {
        return narrow(REST.cos(angles));
    }

    @Override
    public Tensor sin(Tensor angles) {
        return narrow(REST.sin(angles));
    }

    @Override
    public Tensor softmax(Tensor x) {
        return narrow(REST.softmax(x));
    }

    @Override
    public Tensor activation(Tensor x, Activation f) {
        return narrow(REST.activation(x, f));
    }

    @Override
    public Tensor inverse(Tensor x, int count, int n) {
        return narrow(REST.inverse(x, count, n));
    }
}
