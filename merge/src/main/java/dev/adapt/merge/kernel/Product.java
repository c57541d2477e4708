package dev.adapt.merge.kernel;

/**
 * The product of some rows and panels, as the kernels leave it: block of rows by block of rows, in each panel by panel, in each
 * row by row. Blocks and panels that reach over the edge are whole; what they hold there is of no meaning.
 *
 * @param values the elements, and room behind them
 * @param first the panel it begins with
 * @param end the first panel it lacks
 */
@SuppressWarnings("ArrayRecordComponent")
public record Product(float[] values, Panels panels, int first, int end) {
    /** How many floats the product of some rows and panels takes. */
    public static int size(int rows, int panels, int width) {
        return Math.multiplyExact(Panels.padded(rows), panels * width);
    }

    /** Where it has a row of a panel. */
    public int at(int row, int panel) {
        int block = row / Panels.ROWS * (end - first) + panel - first;
        return (block * Panels.ROWS + row % Panels.ROWS) * panels.width();
    }

    /** An element. */
    public float get(int row, int column) {
        return values[at(row, column / panels.width()) + panels.lane(column)];
    }
}
