package dev.adapt.formats.algebra;

/**
 * Where a sparse spectrum has its entries.
 *
 * @param rowAt the row of each entry
 * @param columnAt its column
 * @param rows of the spectrum, and of its transform
 * @param columns of both
 */
@SuppressWarnings("ArrayRecordComponent")
public record Frequencies(int[] rowAt, int[] columnAt, int rows, int columns) {
    /** The places in the transposed spectrum, whose transform is the transposed transform. */
    public Frequencies transposed() {
        return new Frequencies(columnAt, rowAt, columns, rows);
    }
}
