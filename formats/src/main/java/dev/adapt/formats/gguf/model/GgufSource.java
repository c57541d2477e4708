package dev.adapt.formats.gguf.model;

import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.safetensors.TensorView;

/** Where the elements of a tensor to be written come from: row after row. */
sealed interface GgufSource {
    /** Rows it gives. */
    long rows();

    /** Elements of a row. */
    long columns();

    /**
     * A matrix in a checkpoint's tensor: element (r, c) lies at {@code start + r·rowStride + c·columnStride}.
     *
     * @param heads where above 0, rows are those of so many heads, each of whose halves are interleaved; see {@link #source}
     * @param gain what values are multiplied by, after {@code plus} was added
     */
    record Stored(
            TensorView tensor,
            long start,
            long rows,
            long columns,
            long rowStride,
            long columnStride,
            int heads,
            float plus,
            float gain)
            implements GgufSource {
        /** A whole tensor as it stands; one of a single dimension is a row. */
        static Stored of(TensorView tensor) {
            long columns = GgufHeader.columns(tensor.shape());
            long rows = columns == 0 ? 0 : tensor.shape().elements() / columns;
            return new Stored(tensor, 0, rows, columns, columns, 1, 0, 0, 1);
        }

        /** A whole matrix, transposed. */
        static Stored transposed(TensorView tensor) {
            long rows = tensor.shape().dim(1);
            return new Stored(tensor, 0, rows, tensor.shape().dim(0), 1, rows, 0, 0, 1);
        }

        Stored permuted(int count) {
            return new Stored(tensor, start, rows, columns, rowStride, columnStride, count, plus, gain);
        }

        Stored scaled(double factor) {
            return new Stored(tensor, start, rows, columns, rowStride, columnStride, heads, plus, (float) factor);
        }

        Stored plusOne() {
            return new Stored(tensor, start, rows, columns, rowStride, columnStride, heads, 1, gain);
        }

        /** Whether the values are those of the checkpoint. */
        boolean plain() {
            return plus == 0 && gain == 1;
        }

        /** Makes checkpoint values those of the file, in place. */
        void arrange(float[] values, int count) {
            for (int i = 0; i < count && !plain(); i++) {
                values[i] = (values[i] + plus) * gain;
            }
        }

        /** The last of its elements, in the tensor; {@code start} is the first. */
        long last() {
            return start + (rows - 1) * rowStride + (columns - 1) * columnStride;
        }

        /** Whether the rows lie one after the other. */
        boolean contiguous() {
            return heads == 0 && columnStride == 1 && rowStride == columns;
        }
    }

    /** Values that are computed, in row-major order. */
    @SuppressWarnings("ArrayRecordComponent")
    record Given(long rows, long columns, float[] values) implements GgufSource {}

    /**
     * The row of a checkpoint's q or k matrix that stands in a row of llama.cpp's. Hugging Face rotates element i of a head with
     * element i + size/2; llama.cpp, for the architectures of Llama's family, element 2i with 2i + 1.
     *
     * @param row in the matrix of all heads
     * @param size rows of a head
     */
    static long source(long row, long size) {
        long within = row % size;
        return row - within + (within % 2) * (size / 2) + within / 2;
    }

    /** The inverse of {@link #source}: where a row of a checkpoint goes. */
    static long target(long row, long size) {
        long within = row % size;
        return row - within + 2 * (within % (size / 2)) + within / (size / 2);
    }
}
