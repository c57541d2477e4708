package dev.adapt.merge.kernel;

/**
 * How the factors and the product of a tile lie in memory: columns in panels of two vectors, rows in blocks, so that the
 * innermost loop reads both factors from first to last.
 *
 * <p>Weights of 16 bits are read two at a time, as one integer. So that their halves need no shuffling, a panel then holds
 * its even columns first and its odd ones after them.
 *
 * @param lanes floats of a vector
 * @param split whether even and odd columns are apart
 */
public record Panels(int lanes, boolean split) {
    /** Rows of a block: with two vectors a row they make eight sums, enough to hide the latency of FMA. */
    public static final int ROWS = 4;

    /** Columns of a panel. */
    public int width() {
        return 2 * lanes;
    }

    /** How many panels hold that many columns. */
    public int count(int columns) {
        return Math.ceilDiv(columns, width());
    }

    /** The number of rows in whole blocks that hold that many. */
    public static int padded(int rows) {
        return Math.ceilDiv(rows, ROWS) * ROWS;
    }

    /** Where in its panel a column lies. */
    int lane(int column) {
        int at = column % width();
        return split ? (at & 1) * lanes + (at >> 1) : at;
    }
}
