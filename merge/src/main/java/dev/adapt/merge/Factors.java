package dev.adapt.merge;

import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * The update of one weight, ΔW = L·R in the layout the weight is stored in, packed for {@link Kernels#multiply}: the
 * diagonals and the scale are folded in float64 and rounded once to float32.
 *
 * @param memory holds left [blocks of rows, rank, ROWS] and right [panels, rank, panel]
 */
record Factors(FactorMemory.Slot memory, int rows, int columns, int rank, Panels panels) {
    /** Values of k that are summed before the next panel: that much of a panel, 16 KiB, stays in the first-level cache. */
    private static final int DEPTH = 256;

    /** Elements of a stored factor that are read at a time. */
    private static final int CHUNK = 1 << 14;

    /** One of the products that make up an update, and what it counts. */
    record Part(LowRank<Tensor> product, double weight) {
        int rank() {
            return Math.toIntExact(product.left().shape().dim(1));
        }
    }

    /** How many floats the left factor takes. */
    static int leftSize(int rows, int rank) {
        return Math.multiplyExact(Panels.padded(rows), rank);
    }

    /** How many floats the right factor takes. */
    static int rightSize(int columns, int rank, Panels panels) {
        return Math.multiplyExact(panels.count(columns) * panels.width(), rank);
    }

    /**
     * Packs a sum of products, which is the product of the factors side by side.
     *
     * @param transposed whether the weight is stored [in, out]
     * @param memory where to
     */
    static Factors pack(
            List<Part> parts, int rows, int columns, boolean transposed, Panels panels, FactorMemory.Slot memory) {
        int rank = parts.stream().mapToInt(Part::rank).sum();
        Factors packed = new Factors(memory, rows, columns, rank, panels);
        int[] places = packed.places();
        int from = 0;
        for (Part part : parts) {
            packed.packOutputs(part, from, transposed, places);
            packed.packInputs(part, from, transposed, places);
            from += part.rank();
        }
        return packed;
    }

    /** weight · scale · diag(rows) · left: rows of the update, or its columns where the weight is stored transposed. */
    private void packOutputs(Part part, int from, boolean transposed, int[] places) {
        LowRank<Tensor> product = part.product();
        double[] gains = product.rows().map(Factors::values).orElse(new double[0]);
        double scale = product.scale() * part.weight();
        int own = part.rank();
        int out = 0;
        int k = 0;
        for (Chunks chunks = new Chunks(product.left()); chunks.next(); ) {
            for (int i = 0; i < chunks.count; i++) {
                double value = chunks.values[i];
                if (gains.length > 0) {
                    value *= gains[out];
                }
                set(transposed, out, from + k, (float) (value * scale), places);
                if (++k == own) {
                    k = 0;
                    out++;
                }
            }
        }
    }

    /** diag(inner) · right: columns of the update, or its rows where the weight is stored transposed. */
    private void packInputs(Part part, int from, boolean transposed, int[] places) {
        LowRank<Tensor> product = part.product();
        double[] gains = product.inner().map(Factors::values).orElse(new double[0]);
        int width = Math.toIntExact(product.right().shape().dim(1));
        int in = 0;
        int k = 0;
        for (Chunks chunks = new Chunks(product.right()); chunks.next(); ) {
            for (int i = 0; i < chunks.count; i++) {
                double value = gains.length > 0 ? chunks.values[i] * gains[k] : chunks.values[i];
                set(!transposed, in, from + k, (float) value, places);
                if (++in == width) {
                    in = 0;
                    k++;
                }
            }
        }
    }

    /** Where the right factor has the first element of each column: three divisions, which each element would repeat. */
    private int[] places() {
        int width = panels.width();
        int[] places = new int[columns];
        for (int column = 0; column < columns; column++) {
            places[column] = column / width * rank * width + panels.lane(column);
        }
        return places;
    }

    private void set(boolean column, int index, int k, float value, int[] places) {
        if (column) {
            memory.right()[places[index] + k * panels.width()] = value;
        } else {
            long block = (long) (index / Panels.ROWS) * Panels.ROWS * rank + index % Panels.ROWS;
            memory.left().setAtIndex(ValueLayout.JAVA_FLOAT, block + (long) k * Panels.ROWS, value);
        }
    }

    private static double[] values(Tensor vector) {
        double[] values = new double[Math.toIntExact(vector.shape().elements())];
        vector.read(0, values, 0, values.length);
        return values;
    }

    /** A tensor's elements, one run after the other. */
    private static final class Chunks {
        private final Tensor tensor;
        private final double[] values;
        private long from;
        private int count;

        Chunks(Tensor tensor) {
            this.tensor = tensor;
            this.values = new double[(int) Math.min(CHUNK, tensor.shape().elements())];
        }

        boolean next() {
            from += count;
            count = (int) Math.min(values.length, tensor.shape().elements() - from);
            tensor.read(from, values, 0, count);
            return count > 0;
        }
    }

    /**
     * Computes the update of some rows, of which the first begins a block.
     *
     * @return the sums, in the lane's buffer, as {@link Panels} lays them out
     */
    float[] multiply(Kernels kernels, int firstRow, int count, Lane lane) {
        return multiply(kernels, left(firstRow, count, lane), count, 0, panels.count(columns), lane);
    }

    /**
     * The left factor of some rows, in the lane's buffer: the innermost loop reads an array faster than memory that could be
     * freed under it.
     */
    float[] left(int firstRow, int count, Lane lane) {
        int size = Panels.padded(count) * rank;
        float[] left = lane.left(size);
        MemorySegment.copy(memory.left(), ValueLayout.JAVA_FLOAT, (long) firstRow * rank * Float.BYTES, left, 0, size);
        return left;
    }

    /**
     * Computes the update of some rows in some panels.
     *
     * @param left of these rows
     * @param end the first panel that is not computed
     * @return the sums, in the lane's buffer, as {@link Panels} lays them out, beginning with the first panel
     */
    float[] multiply(Kernels kernels, float[] left, int count, int first, int end, Lane lane) {
        int width = panels.width();
        int padded = Panels.padded(count);
        float[] sums = lane.sums(panels.size(count, (end - first) * width));
        for (int k = 0; k < rank; k += DEPTH) {
            int depth = Math.min(DEPTH, rank - k);
            for (int panel = first; panel < end; panel++) {
                int rightAt = (panel * rank + k) * width;
                for (int row = 0; row < count; row += Panels.ROWS) {
                    int leftAt = row * rank + k * Panels.ROWS;
                    int at = ((panel - first) * padded + row) * width;
                    kernels.multiply(left, leftAt, memory.right(), rightAt, depth, k > 0, sums, at);
                }
            }
        }
        return sums;
    }
}
