package dev.adapt.merge;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Target;
import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The update of one weight, tile by tile. Its factors are made shortly before the first tile and dropped after the last,
 * so that memory holds those of two or three weights, whatever the size of the adapter.
 */
final class Update {
    /**
     * Elements of a tile: enough rows for each pass over a right factor that no cache holds, and written in pieces of 1 MiB, for
     * which Linux takes an eighth less time than for 256 KiB, and a quarter less than for 64 KiB.
     */
    private static final int TILE = 1 << 19;

    /** Rows that are computed before the next ones: whole blocks. */
    private static final int ROWS = 32;

    /** Sums that are computed before they are added: few enough to stay in the first-level cache beside the factors. */
    private static final int SUMS = 1 << 12;

    /** Rows whose squares are summed before they are added to the others': a constant, for results that repeat to the bit. */
    private static final int NORM_ROWS = 64;

    private final MergePlan.Task.Adapt task;
    private final Kernels kernels;
    private final Floats dtype;
    private final Target target;
    private final int rows;
    private final int columns;
    private final int tileRows;
    private final AtomicInteger left;
    private final FactorMemory memory;
    private final NonFinite nonFinite = new NonFinite();
    private @Nullable FutureTask<Prepared> prepared;

    /**
     * What the tiles need.
     *
     * @param scale of each output, for a method with a magnitude; the outputs are the columns of a transposed weight
     */
    @SuppressWarnings("ArrayRecordComponent")
    private record Prepared(Factors factors, Optional<double[]> scale) {}

    /**
     * What a weight takes of memory.
     *
     * @param right its right factor, in floats
     * @param tile a tile, in bytes
     */
    record Size(int right, int tile) {}

    /**
     * The update of a weight.
     *
     * @param memory for its factors
     */
    Update(MergePlan.Task.Adapt task, Kernels kernels, FactorMemory memory) {
        this.memory = memory;
        this.task = task;
        this.kernels = kernels;
        this.dtype = Floats.of(task.place().dtype());
        this.target = task.target();
        this.rows = rows(target);
        this.columns = columns(target);
        this.tileRows = tileRows(rows, columns);
        this.left = new AtomicInteger(tiles());
        this.prepared = new FutureTask<>(this::made);
    }

    private static int rows(Target target) {
        return target.transposed() ? target.in() : target.out();
    }

    private static int columns(Target target) {
        return target.transposed() ? target.out() : target.in();
    }

    private static int tileRows(int rows, int columns) {
        return Panels.padded(Math.clamp(TILE / Math.max(1, columns), 1, rows));
    }

    /** What a weight will take of memory. */
    static Size size(MergePlan.Task.Adapt task, Kernels kernels) {
        Floats dtype = Floats.of(task.place().dtype());
        int rows = rows(task.target());
        int columns = columns(task.target());
        return new Size(
                Factors.rightSize(columns, task.rank(), kernels.panels(dtype)),
                Math.multiplyExact(Math.multiplyExact(tileRows(rows, columns), columns), dtype.bytes()));
    }

    /** How many tiles the weight has. */
    int tiles() {
        return Math.ceilDiv(rows, tileRows);
    }

    /** Where a tile begins, in bytes from the start of the weight. */
    long offset(int tile) {
        return (long) tile * tileRows * columns * dtype.bytes();
    }

    /** The size of a tile in bytes. */
    long bytes(int tile) {
        return (long) rows(tile) * columns * dtype.bytes();
    }

    /** How many rows a tile has. */
    int rows(int tile) {
        return Math.min(tileRows, rows - tile * tileRows);
    }

    /** Makes the factors; a job of its own, so that they are ready before the first tile is wanted. */
    void prepare() throws IOException {
        FutureTask<Prepared> making = making();
        making.run();
        Schedule.await(making);
    }

    private synchronized FutureTask<Prepared> making() {
        if (prepared == null) {
            throw new IllegalStateException(target.tensor() + " was adapted already");
        }
        return prepared;
    }

    private synchronized void drop() throws IOException {
        memory.giveBack(Schedule.await(making()).factors().right());
        prepared = null;
    }

    /**
     * Computes a tile.
     *
     * @param weight the base's bytes
     * @param out where the result goes; may be {@code weight}
     */
    void apply(int tile, Lane lane, MemorySegment weight, MemorySegment out) throws IOException {
        Prepared own = Schedule.await(making());
        Factors factors = own.factors();
        int count = rows(tile);
        if (own.scale().isPresent()) {
            rescale(own, tile, factors.multiply(kernels, tile * tileRows, count, lane), weight, out);
            return;
        }
        float[] left = factors.left(tile * tileRows, count, lane);
        for (int row = 0; row < count; row += ROWS) {
            addRows(factors, left, row, Math.min(ROWS, count - row), lane, weight, out);
        }
    }

    private void addRows(
            Factors factors, float[] left, int row, int count, Lane lane, MemorySegment weight, MemorySegment out) {
        long from = (long) row * columns * dtype.bytes();
        long bytes = (long) count * columns * dtype.bytes();
        MemorySegment before = weight.asSlice(from, bytes);
        MemorySegment after = out.asSlice(from, bytes);
        int all = factors.panels().count(columns);
        int some = Math.max(1, SUMS / Product.size(count, 1, factors.panels().width()));
        for (int panel = 0; panel < all; panel += some) {
            int end = Math.min(all, panel + some);
            Product sums = factors.multiply(kernels, left, row, count, panel, end, lane);
            kernels.add(dtype, sums, count, columns, before, after, nonFinite);
        }
    }

    /**
     * Says that a tile is computed; after the last, the factors are dropped.
     *
     * @throws FormatException after the last tile, if an element of the merged weight is NaN or infinite
     */
    void done() throws IOException {
        if (left.decrementAndGet() == 0) {
            drop();
            requireFinite();
        }
    }

    private void requireFinite() {
        if (!nonFinite.any()) {
            return;
        }
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (MergePlan.Contribution part : task.parts()) {
            part.adapter().update(new FactorOps(), part.target(), key -> {
                Tensor tensor = tensor(part, key);
                tensors.put(key, tensor);
                return tensor;
            });
        }
        throw nonFinite.inUpdate(task.weight(), task.place(), tensors);
    }

    /** Computes what the update of a tile adds, for {@link #change}. */
    Product sum(int tile, Lane lane) throws IOException {
        return Schedule.await(making()).factors().multiply(kernels, tile * tileRows, rows(tile), lane);
    }

    /**
     * What the update of a tile adds to an element, before rounding.
     *
     * @param sums of that tile
     * @param old the base's element
     */
    double change(int tile, Product sums, int row, int column, double old) throws IOException {
        Optional<double[]> scale = Schedule.await(making()).scale();
        float delta = sums.get(row, column);
        if (scale.isEmpty()) {
            return delta;
        }
        int output = target.transposed() ? column : tile * tileRows + row;
        return (float) (((float) old + delta) * scale.get()[output]) - old;
    }

    int columns() {
        return columns;
    }

    Floats dtype() {
        return dtype;
    }

    MergePlan.Task.Adapt task() {
        return task;
    }

    private void rescale(Prepared own, int tile, Product sums, MemorySegment weight, MemorySegment out) {
        double[] scale = own.scale().orElseThrow();
        for (int row = 0; row < rows(tile); row++) {
            for (int column = 0; column < columns; column++) {
                long index = (long) row * columns + column;
                float whole = dtype.getFloat(weight, index) + sums.get(row, column);
                int output = target.transposed() ? column : tile * tileRows + row;
                float rescaled = (float) (whole * scale[output]);
                dtype.setFloat(out, index, rescaled);
                if (!dtype.holds(rescaled)) {
                    nonFinite.add(whole, scale[output]);
                }
            }
        }
    }

    private Prepared made() throws IOException {
        List<Factors.Part> parts = new ArrayList<>();
        Optional<Tensor> magnitude = Optional.empty();
        for (MergePlan.Contribution part : task.parts()) {
            LowRank<Tensor> product = part.adapter().update(new FactorOps(), part.target(), key -> tensor(part, key));
            parts.add(new Factors.Part(product, part.weight()));
            magnitude = product.magnitude();
        }
        Factors factors = Factors.pack(parts, columns, target.transposed(), kernels.panels(dtype), memory.take());
        return new Prepared(
                factors, magnitude.isPresent() ? Optional.of(scale(factors, magnitude.get())) : Optional.empty());
    }

    private Tensor tensor(MergePlan.Contribution part, String key) {
        Tensor tensor = key.equals(part.target().canonical() + ".weight")
                ? task.weight()
                : part.adapter().tensors().get(key);
        if (tensor == null) {
            throw new IllegalArgumentException("the adapter has no tensor " + key);
        }
        return tensor;
    }

    /** What each output is multiplied with: its magnitude by the norm of its weights in W + ΔW, summed in float64. */
    private double[] scale(Factors factors, Tensor magnitude) throws IOException {
        double[] scale = new double[target.out()];
        try (Lane lane = new Lane()) {
            for (int first = 0; first < rows; first += NORM_ROWS) {
                addSquares(factors, first, lane, scale);
            }
        }
        requireFinite();
        double[] norms = new double[scale.length];
        magnitude.read(0, norms, 0, norms.length);
        TensorView weight = task.weight();
        for (int i = 0; i < scale.length; i++) {
            if (scale[i] == 0) {
                throw new FormatException(
                        weight.file(),
                        weight.name(),
                        "adapted, all weights of output " + i
                                + " are 0: they have no direction to give a magnitude to");
            }
            scale[i] = norms[i] / Math.sqrt(scale[i]);
        }
        return scale;
    }

    private void addSquares(Factors factors, int first, Lane lane, double[] squares) throws IOException {
        int count = Math.min(NORM_ROWS, rows - first);
        long width = (long) columns * dtype.bytes();
        MemorySegment weight = lane.weight(count * width);
        task.weight().copy(first * width, weight);
        Product sums = factors.multiply(kernels, first, count, lane);
        double[] own = target.transposed() ? new double[squares.length] : squares;
        for (int row = 0; row < count; row++) {
            for (int column = 0; column < columns; column++) {
                float before = dtype.getFloat(weight, (long) row * columns + column);
                float whole = before + sums.get(row, column);
                if (!Float.isFinite(whole)) {
                    nonFinite.add(before, sums.get(row, column));
                }
                own[target.transposed() ? column : first + row] += (double) whole * whole;
            }
        }
        for (int i = 0; target.transposed() && i < squares.length; i++) {
            squares[i] += own[i];
        }
    }
}
