package dev.adapt.formats.algebra;

/** A rectangle of a matrix [out, in]: {@code rows} rows from {@code row} on, {@code columns} columns from {@code column} on. */
public record Region(int row, int rows, int column, int columns) {
    /** All of a matrix. */
    public static Region of(int out, int in) {
        return new Region(0, out, 0, in);
    }

    /** The end of its rows, exclusive. */
    public int rowEnd() {
        return row + rows;
    }

    /** The end of its columns, exclusive. */
    public int columnEnd() {
        return column + columns;
    }

    /** Its place in the transposed matrix. */
    public Region transposed() {
        return new Region(column, columns, row, rows);
    }

    /** This region of a tensor [out, in]. */
    public <T> T of(MatrixOps<T> ops, T matrix) {
        return ops.slice(ops.slice(matrix, 0, row, rowEnd()), 1, column, columnEnd());
    }
}
