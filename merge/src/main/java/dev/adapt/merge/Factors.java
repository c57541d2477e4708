package dev.adapt.merge;

import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.tensor.DoubleTensor;
import java.util.List;

/**
 * The update of one weight, ΔW = L·R in the layout the weight is stored in, packed for {@link Kernels#multiply}: the
 * diagonals and the scale are folded in float64 and rounded once to float32.
 *
 * @param left [blocks of rows, rank, ROWS]
 * @param right [panels, rank, panel]
 */
@SuppressWarnings("ArrayRecordComponent")
record Factors(float[] left, float[] right, int rows, int columns, int rank, Panels panels) {
    /** Values of k that are summed before the next panel: that much of a panel, 16 KiB, stays in the first-level cache. */
    private static final int DEPTH = 256;

    /** One of the products that make up an update, and what it counts. */
    record Part(LowRank<DoubleTensor> product, double weight) {
        int rank() {
            return Math.toIntExact(product.left().shape().dim(1));
        }
    }

    /**
     * Packs a sum of products, which is the product of the factors side by side.
     *
     * @param transposed whether the weight is stored [in, out]
     */
    static Factors pack(List<Part> parts, int rows, int columns, boolean transposed, Panels panels) {
        int rank = parts.stream().mapToInt(Part::rank).sum();
        float[] left = new float[Math.multiplyExact(Panels.padded(rows), rank)];
        float[] right = new float[Math.multiplyExact(panels.count(columns) * panels.width(), rank)];
        Factors packed = new Factors(left, right, rows, columns, rank, panels);
        int from = 0;
        for (Part part : parts) {
            packed.packLeft(part, from, transposed);
            packed.packRight(part, from, transposed);
            from += part.rank();
        }
        return packed;
    }

    /** Rows are the update's outputs, or its inputs where the weight is stored transposed. */
    private void packLeft(Part part, int from, boolean transposed) {
        int own = part.rank();
        for (int row = 0; row < rows; row++) {
            int block = row / Panels.ROWS * Panels.ROWS * rank + row % Panels.ROWS;
            for (int k = 0; k < own; k++) {
                double value = transposed ? input(part, k, row) : output(part, row, k);
                left[block + (from + k) * Panels.ROWS] = (float) value;
            }
        }
    }

    private void packRight(Part part, int from, boolean transposed) {
        int width = panels.width();
        for (int first = 0; first < columns; first += width) {
            int last = Math.min(first + width, columns);
            for (int k = 0; k < part.rank(); k++) {
                int at = (first / width * rank + from + k) * width;
                for (int column = first; column < last; column++) {
                    double value = transposed ? output(part, column, k) : input(part, k, column);
                    right[at + panels.lane(column - first)] = (float) value;
                }
            }
        }
    }

    /** An element of weight · scale · diag(rows) · left. */
    private static double output(Part part, int out, int k) {
        LowRank<DoubleTensor> product = part.product();
        double value = product.left().values()[out * part.rank() + k];
        if (product.rows().isPresent()) {
            value *= product.rows().get().values()[out];
        }
        return value * (product.scale() * part.weight());
    }

    /** An element of diag(inner) · right. */
    private static double input(Part part, int k, int in) {
        LowRank<DoubleTensor> product = part.product();
        int width = Math.toIntExact(product.right().shape().dim(1));
        double value = product.right().values()[k * width + in];
        return product.inner().isPresent() ? value * product.inner().get().values()[k] : value;
    }

    /** Computes the update of some rows, of which the first begins a block, as {@link Panels} lays them out. */
    void multiply(Kernels kernels, int firstRow, int count, float[] sums) {
        int width = panels.width();
        int padded = Panels.padded(count);
        for (int k = 0; k < rank; k += DEPTH) {
            int depth = Math.min(DEPTH, rank - k);
            for (int panel = 0; panel < panels.count(columns); panel++) {
                int rightAt = (panel * rank + k) * width;
                for (int row = 0; row < count; row += Panels.ROWS) {
                    int leftAt = (firstRow + row) * rank + k * Panels.ROWS;
                    kernels.multiply(left, leftAt, right, rightAt, depth, k > 0, sums, (panel * padded + row) * width);
                }
            }
        }
    }
}
