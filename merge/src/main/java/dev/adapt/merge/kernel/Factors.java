package dev.adapt.merge.kernel;

import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The update of one weight, ΔW = L·R in the layout the weight is stored in, for {@link Kernels#multiply}: the diagonals and
 * the scale are folded in float64 and rounded once to float32. The right factor, all of which each tile reads, is packed
 * whole; of the left one, only what a tile needs.
 *
 * @param left what the rows of the update are made of, one side of each product
 * @param right [panels, rank, panel]
 */
@SuppressWarnings("ArrayRecordComponent")
public record Factors(List<Side> left, float[] right, int columns, int rank, Panels panels) {
    /** Floats of a panel that are multiplied before the next panel: 16 KiB, that stay in the first-level cache. */
    private static final int DEPTH = 1 << 12;

    /** Elements of a stored factor that are read at a time. */
    private static final int CHUNK = 1 << 14;

    /** A block of rows is packed as a panel of so many columns would be. */
    private static final Panels BLOCKS = new Panels(Panels.ROWS / 2, false);

    /** One of the products that make up an update, and what it counts. */
    public record Part(LowRank<Tensor> product, double weight) {
        int rank() {
            return Math.toIntExact(product.left().shape().dim(1));
        }
    }

    /** How many floats the right factor takes. */
    public static int rightSize(int columns, int rank, Panels panels) {
        return Math.multiplyExact(panels.count(columns) * panels.width(), rank);
    }

    /**
     * Packs a sum of products, which is the product of the factors side by side.
     *
     * @param transposed whether the weight is stored [in, out]
     * @param right where the right factor goes
     */
    public static Factors pack(List<Part> parts, int columns, boolean transposed, Panels panels, float[] right) {
        int rank = parts.stream().mapToInt(Part::rank).sum();
        List<Side> rows = Side.of(parts, !transposed);
        List<Side> across = Side.of(parts, transposed);
        Packed packed = new Packed(right, panels, rank);
        for (Side side : across) {
            side.pack(0, columns, new double[side.room(columns)], packed);
        }
        return new Factors(rows, right, columns, rank, panels);
    }

    /** One side of a product, whose index numbers rows or columns of the update. */
    private sealed interface Side {
        int rank();

        /** How many elements lie in a row of what is stored, if so many indices are read. */
        int width(int count);

        /** How many elements to make room for, to read that many indices, or a part of them at a time. */
        default int room(int count) {
            return Math.max(width(count), (int) Math.min(CHUNK, (long) rank() * count));
        }

        /**
         * Packs some of its indices.
         *
         * @param values {@link #room} to read in
         * @param into gets the indices from {@code first} on, as its own from 0 on
         */
        void pack(int first, int count, double[] values, Packed into);

        static List<Side> of(List<Part> parts, boolean outputs) {
            List<Side> sides = new ArrayList<>();
            int from = 0;
            for (Part part : parts) {
                sides.add(outputs ? Outputs.of(part, from) : Inputs.of(part, from));
                from += part.rank();
            }
            return sides;
        }
    }

    /**
     * weight · scale · diag(rows) · left, whose index is an output.
     *
     * @param stored [index, k]
     * @param gains of each output; none are there where all are 1
     * @param from the place of its first k among those of all products
     */
    @SuppressWarnings("ArrayRecordComponent")
    private record Outputs(Tensor stored, double[] gains, double scale, int rank, int from) implements Side {
        static Outputs of(Part part, int from) {
            LowRank<Tensor> product = part.product();
            double scale = product.scale() * part.weight();
            return new Outputs(product.left(), elements(product.rows()), scale, part.rank(), from);
        }

        @Override
        public int width(int count) {
            return rank;
        }

        @Override
        public void pack(int first, int count, double[] values, Packed into) {
            int step = values.length / rank;
            for (int done = 0; done < count; done += step) {
                int some = Math.min(step, count - done);
                stored.read((long) (first + done) * rank, values, 0, some * rank);
                if (gains.length > 0) {
                    scaleRows(values, some, rank, gains, first + done);
                }
                into.putRows(values, done, some, from, rank, scale);
            }
        }
    }

    /**
     * diag(inner) · right, whose index is an input.
     *
     * @param stored [k, index]
     * @param gains of each k; none are there where all are 1
     * @param from the place of its first k among those of all products
     */
    @SuppressWarnings("ArrayRecordComponent")
    private record Inputs(Tensor stored, double[] gains, int rank, int from) implements Side {
        static Inputs of(Part part, int from) {
            LowRank<Tensor> product = part.product();
            return new Inputs(product.right(), elements(product.inner()), part.rank(), from);
        }

        @Override
        public int width(int count) {
            return count;
        }

        @Override
        public void pack(int first, int count, double[] values, Packed into) {
            int step = values.length / count;
            for (int k = 0; k < rank; k += step) {
                int some = Math.min(step, rank - k);
                read(first, count, k, some, values);
                if (gains.length > 0) {
                    scaleRows(values, some, count, gains, k);
                }
                into.putColumns(values, count, from + k, some);
            }
        }

        private void read(int first, int count, int k, int some, double[] values) {
            long width = stored.shape().dim(1);
            if (count == width) {
                stored.read(k * width, values, 0, some * count);
                return;
            }
            for (int i = 0; i < some; i++) {
                stored.read((k + i) * width + first, values, i * count, count);
            }
        }
    }

    private static double[] elements(Optional<Tensor> diagonal) {
        if (diagonal.isEmpty()) {
            return new double[0];
        }
        Tensor vector = diagonal.get();
        double[] elements = new double[Math.toIntExact(vector.shape().elements())];
        vector.read(0, elements, 0, elements.length);
        return elements;
    }

    private static void scaleRows(double[] values, int rows, int width, double[] gains, int first) {
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < width; i++) {
                values[row * width + i] *= gains[first + row];
            }
        }
    }

    /**
     * A factor as the kernels read it, [panels, rank, panel]. Its loops are methods of their own, as are all of a merge that are
     * not kernels: C2 compiles them in a tenth of the time that it takes where the reading is in the same method.
     */
    @SuppressWarnings("ArrayRecordComponent")
    private record Packed(float[] values, Panels panels, int rank) {
        private int at(int index, int k) {
            int width = panels.width();
            return (index / width * rank + k) * width + panels.lane(index);
        }

        /** Rounds what is stored [index, k] to its place. */
        void putRows(double[] stored, int first, int count, int k, int depth, double scale) {
            int width = panels.width();
            for (int i = 0; i < count; i++) {
                int to = at(first + i, k);
                for (int from = i * depth; from < (i + 1) * depth; from++) {
                    values[to] = (float) (stored[from] * scale);
                    to += width;
                }
            }
        }

        /** Rounds what is stored [k, index] to its place. */
        void putColumns(double[] stored, int count, int k, int depth) {
            int width = panels.width();
            for (int i = 0; i < count; i++) {
                int to = at(i, k);
                for (int from = i; from < depth * count; from += count) {
                    values[to] = (float) stored[from];
                    to += width;
                }
            }
        }
    }

    /**
     * Computes the update of some rows.
     *
     * @return the sums, in the lane's buffer
     */
    public Product multiply(Kernels kernels, int firstRow, int count, Lane lane) {
        return multiply(kernels, left(firstRow, count, lane), 0, count, 0, panels.count(columns), lane);
    }

    /** Packs the left factor of some rows, [blocks of rows, rank, ROWS], in the lane's buffer. */
    public float[] left(int firstRow, int count, Lane lane) {
        Packed packed = new Packed(lane.left(Panels.padded(count) * rank), BLOCKS, rank);
        for (Side side : left) {
            side.pack(firstRow, count, lane.values(side.room(count)), packed);
        }
        return packed.values();
    }

    /**
     * Computes the update of some rows in some panels.
     *
     * @param left of rows, of which it takes {@code count} from {@code row} on, which begins a block
     * @param end the first panel that is not computed
     * @return the sums, in the lane's buffer
     */
    public Product multiply(Kernels kernels, float[] left, int row, int count, int first, int end, Lane lane) {
        int width = panels.width();
        Product sums = new Product(lane.sums(Product.size(count, end - first, width)), panels, first, end);
        int step = DEPTH / width;
        for (int k = 0; k < rank; k += step) {
            kernels.multiply(this, left, row, count, k, Math.min(step, rank - k), sums);
        }
        return sums;
    }
}
