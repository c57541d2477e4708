package dev.adapt.formats.onnx.quantize;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * A matrix in 4-bit integers from 0 to 15, each row in blocks of {@link #SIZE}: a value is its integer less the block's zero
 * point, times the block's scale. Scale and zero point are those of least squared error among the ranges tried.
 */
public record Int4Blocks(MatrixRows matrix) {
    /** Values of a row that share a scale; the last block of a row may have fewer. */
    public static final int SIZE = 32;

    private static final int MOST = 15;
    /** Shares of a block's range that the integers span: what lies outside is cut off, and the others are finer. */
    private static final double[] SHARES = {1, 0.94, 0.88, 0.82, 0.76};

    /** A block's scale and zero point. */
    private record Grid(float scale, int zero) {
        int integer(double value) {
            return (int) Math.clamp(Math.rint(value / scale) + zero, 0, MOST);
        }

        double error(double[] row, int from, int to) {
            double sum = 0;
            for (int i = from; i < to; i++) {
                double left = (integer(row[i]) - zero) * (double) scale - row[i];
                sum += left * left;
            }
            return sum;
        }

        /** The same integers with the scale that fits them best. */
        Grid fitted(double[] row, int from, int to) {
            double product = 0;
            double square = 0;
            for (int i = from; i < to; i++) {
                double steps = integer(row[i]) - zero;
                product += steps * row[i];
                square += steps * steps;
            }
            return product > 0 && square > 0 ? new Grid((float) (product / square), zero) : this;
        }
    }

    /** What is done with one block of a row. */
    private interface Use {
        void of(int row, int block, double[] values, Grid grid);
    }

    /** The number of blocks of a row. */
    public int blocks() {
        return Math.ceilDiv(matrix.columns(), SIZE);
    }

    /** The integers, [rows, blocks, 16]: two in a byte, the first in its low half. */
    public ByteBuffer values() {
        byte[] packed = new byte[Math.multiplyExact(matrix.rows(), blocks() * SIZE / 2)];
        forEach((row, block, values, grid) -> {
            int to = Math.min(values.length, (block + 1) * SIZE);
            for (int i = block * SIZE; i < to; i++) {
                packed[row * blocks() * SIZE / 2 + i / 2] |= (byte) (grid.integer(values[i]) << (i % 2 * 4));
            }
        });
        return ByteBuffer.wrap(packed);
    }

    /** The scales, float32 [rows · blocks]. */
    public ByteBuffer scales() {
        ByteBuffer scales =
                ByteBuffer.allocate(matrix.rows() * blocks() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        forEach((row, block, values, grid) -> scales.putFloat(grid.scale()));
        return scales.flip();
    }

    /** The zero points, [rows, ⌈blocks / 2⌉]: two in a byte, the first in its low half. */
    public ByteBuffer zeroPoints() {
        int width = Math.ceilDiv(blocks(), 2);
        byte[] packed = new byte[matrix.rows() * width];
        forEach((row, block, values, grid) ->
                packed[row * width + block / 2] |= (byte) (grid.zero() << (block % 2 * 4)));
        return ByteBuffer.wrap(packed);
    }

    private void forEach(Use use) {
        matrix.forEach((index, row) -> {
            for (int block = 0; block < blocks(); block++) {
                use.of(index, block, row, grid(row, block * SIZE, Math.min(row.length, (block + 1) * SIZE)));
            }
        });
    }

    private static Grid grid(double[] row, int from, int to) {
        double low = Math.min(0, Arrays.stream(row, from, to).min().orElse(0));
        double high = Math.max(0, Arrays.stream(row, from, to).max().orElse(0));
        if (low == high) {
            return new Grid(1, 0);
        }
        Grid best = new Grid((float) ((high - low) / MOST), 0);
        double least = Double.MAX_VALUE;
        for (double share : SHARES) {
            float scale = (float) ((high - low) * share / MOST);
            int zero = (int) Math.clamp(Math.rint(-low * share / scale), 0, MOST);
            Grid grid = new Grid(scale, zero).fitted(row, from, to);
            double error = grid.error(row, from, to);
            if (error < least) {
                least = error;
                best = grid;
            }
        }
        return best;
    }
}
