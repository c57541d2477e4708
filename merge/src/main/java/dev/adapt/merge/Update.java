package dev.adapt.merge;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.graph.Delta;
import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.graph.OutGain;
import dev.adapt.formats.graph.WeightChange;
import dev.adapt.formats.method.Target;
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
 * The change of one weight, tile by tile. What its tiles are computed from is made shortly before the first tile and
 * dropped after the last, so that memory holds the factors of two or three weights, whatever the size of the adapter.
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
    private final boolean product;
    private final AtomicInteger left;
    private final FactorMemory memory;
    private final NonFinite nonFinite = new NonFinite();
    private @Nullable FutureTask<Prepared> prepared;

    /** What the tiles are computed from. */
    private sealed interface Prepared {}

    /**
     * A sum of products of low rank, for {@link Kernels}.
     *
     * @param scale of each output, for a method with a magnitude; the outputs are the columns of a transposed weight
     */
    @SuppressWarnings("ArrayRecordComponent")
    private record Products(Factors factors, Optional<double[]> scale) implements Prepared {}

    /** Any other change. */
    private record Blocks(BlockChange change) implements Prepared {}

    /**
     * What a weight takes of memory.
     *
     * @param right its right factor, in floats
     * @param tile a tile, in bytes
     */
    record Size(int right, int tile) {}

    /**
     * The change of a weight.
     *
     * @param tileRows {@link #tileRows(List)} of all that becomes of this weight
     * @param memory for its factors
     */
    Update(MergePlan.Task.Adapt task, int tileRows, Kernels kernels, FactorMemory memory) {
        this.memory = memory;
        this.task = task;
        this.kernels = kernels;
        this.dtype = Floats.of(task.place().dtype());
        this.target = task.target();
        this.rows = rows(target);
        this.columns = columns(target);
        this.tileRows = tileRows;
        this.product = isProduct(task);
        this.left = new AtomicInteger(tiles());
        this.prepared = new FutureTask<>(this::made);
    }

    private static int rows(Target target) {
        return target.transposed() ? target.in() : target.out();
    }

    private static int columns(Target target) {
        return target.transposed() ? target.out() : target.in();
    }

    private static boolean isProduct(MergePlan.Task.Adapt task) {
        return task.parts().stream().allMatch(part -> part.adapter().hasLowRankDelta(part.target()));
    }

    /** How many rows a tile of a weight has: all of them, where one of its changes needs the whole weight. */
    static int tileRows(List<MergePlan.Task.Adapt> tasks) {
        Target target = tasks.getFirst().target();
        boolean whole = tasks.stream()
                .filter(task -> !isProduct(task))
                .flatMap(task -> task.parts().stream())
                .map(part -> part.adapter().scope(part.target()))
                .anyMatch(scope -> scope == Delta.Scope.MATRIX || (scope == Delta.Scope.ROW && target.transposed()));
        int rows = rows(target);
        return whole ? rows : Panels.padded(Math.clamp(TILE / Math.max(1, columns(target)), 1, rows));
    }

    /**
     * What a weight will take of memory.
     *
     * @param tileRows {@link #tileRows(List)} of all that becomes of it
     */
    static Size size(MergePlan.Task.Adapt task, int tileRows, Kernels kernels) {
        Floats dtype = Floats.of(task.place().dtype());
        int columns = columns(task.target());
        return new Size(
                isProduct(task) ? Factors.rightSize(columns, task.rank(), kernels.panels(dtype)) : 0,
                Math.multiplyExact(Math.multiplyExact(tileRows, columns), dtype.bytes()));
    }

    /** How many tiles the weight has. */
    int tiles() {
        return Math.ceilDiv(rows, tileRows);
    }

    /** Where a tile begins, in bytes from the start of the tensor. */
    long offset(int tile) {
        return (target.offset() + (long) tile * tileRows * columns) * dtype.bytes();
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
        if (Schedule.await(making()) instanceof Products(Factors factors, Optional<double[]> _)) {
            memory.giveBack(factors.right());
        }
        prepared = null;
    }

    /**
     * Computes a tile.
     *
     * @param weight the base's bytes
     * @param out where the result goes; may be {@code weight}
     */
    void apply(int tile, Lane lane, MemorySegment weight, MemorySegment out) throws IOException {
        switch (Schedule.await(making())) {
            case Blocks(BlockChange change) -> change.apply(tile * tileRows, rows(tile), weight, out, nonFinite);
            case Products(Factors factors, Optional<double[]> scale) -> {
                int count = rows(tile);
                if (scale.isPresent()) {
                    Product sums = factors.multiply(kernels, tile * tileRows, count, lane);
                    rescale(scale.get(), tile, sums, weight, out);
                    return;
                }
                float[] left = factors.left(tile * tileRows, count, lane);
                for (int row = 0; row < count; row += ROWS) {
                    addRows(factors, left, row, Math.min(ROWS, count - row), lane, weight, out);
                }
            }
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
        if (nonFinite.any()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            task.parts().forEach(part -> tensors.putAll(part.adapter().tensorsOf(part.target())));
            throw nonFinite.inUpdate(task.weight(), task.place(), tensors);
        }
    }

    /** What the change of a tile adds to its elements, before rounding. */
    interface TileChange {
        /**
         * What is added to one element.
         *
         * @param old the base's element
         */
        double at(int row, int column, double old);
    }

    /**
     * What the change of a tile adds to its elements.
     *
     * @param weight the base's bytes
     */
    TileChange change(int tile, Lane lane, MemorySegment weight) throws IOException {
        return switch (Schedule.await(making())) {
            case Blocks(BlockChange change) -> {
                float[] changed = change.changed(tile * tileRows, rows(tile), weight);
                yield (row, column, old) -> changed[row * columns + column] - old;
            }
            case Products(Factors factors, Optional<double[]> scale) -> {
                Product sums = factors.multiply(kernels, tile * tileRows, rows(tile), lane);
                if (scale.isEmpty()) {
                    yield (row, column, old) -> sums.get(row, column);
                }
                double[] gains = scale.get();
                yield (row, column, old) -> {
                    int output = target.transposed() ? column : tile * tileRows + row;
                    return (float) (((float) old + sums.get(row, column)) * gains[output]) - old;
                };
            }
        };
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

    private void rescale(double[] scale, int tile, Product sums, MemorySegment weight, MemorySegment out) {
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
        if (!product) {
            return new Blocks(BlockChange.of(task));
        }
        List<Factors.Part> parts = new ArrayList<>();
        Optional<Tensor> magnitude = Optional.empty();
        for (MergePlan.Contribution part : task.parts()) {
            WeightChange<Tensor> change = part.change(task.weight());
            if (!(change.delta() instanceof LowRank<Tensor> factors)) {
                throw new IllegalStateException(part.adapter().title() + " has no product of low rank");
            }
            parts.add(new Factors.Part(factors, part.weight()));
            magnitude = change.outGain() instanceof OutGain.Magnitude<Tensor>(Tensor norms)
                    ? Optional.of(norms)
                    : Optional.empty();
        }
        Factors factors = Factors.pack(parts, columns, target.transposed(), kernels.panels(dtype), memory.take());
        return new Products(
                factors, magnitude.isPresent() ? Optional.of(scale(factors, magnitude.get())) : Optional.empty());
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
        task.weight().copy(target.offset() * dtype.bytes() + first * width, weight);
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
