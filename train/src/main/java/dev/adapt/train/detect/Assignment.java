package dev.adapt.train.detect;

import java.util.Arrays;

/**
 * The assignment of least cost: each row to a column of its own. The Hungarian method with shortest augmenting paths and
 * potentials (Jonker and Volgenant, Computing 38, 1987), O(rows²·columns).
 */
final class Assignment {
    private final double[][] costs;
    private final int columns;
    private final double[] rowPotential;
    private final double[] columnPotential;

    /** The row of each column, counted from 1; 0 is none. Column 0 stands for the row that looks for one. */
    private final int[] rowOf;

    private Assignment(double[][] costs, int columns) {
        this.costs = costs;
        this.columns = columns;
        this.rowPotential = new double[costs.length + 1];
        this.columnPotential = new double[columns + 1];
        this.rowOf = new int[columns + 1];
    }

    /**
     * The column of each row.
     *
     * @param costs [rows][columns], finite
     * @throws IllegalArgumentException if there are more rows than columns, or a cost is not finite
     */
    static int[] of(double[][] costs) {
        int columns = costs.length == 0 ? 0 : costs[0].length;
        if (costs.length > columns) {
            throw new IllegalArgumentException(costs.length + " rows do not fit " + columns + " columns");
        }
        for (double[] row : costs) {
            if (row.length != columns || !Arrays.stream(row).allMatch(Double::isFinite)) {
                throw new IllegalArgumentException("every row needs " + columns + " finite costs");
            }
        }
        Assignment assignment = new Assignment(costs, columns);
        for (int row = 1; row <= costs.length; row++) {
            assignment.place(row);
        }
        int[] columnOf = new int[costs.length];
        for (int column = 1; column <= columns; column++) {
            if (assignment.rowOf[column] > 0) {
                columnOf[assignment.rowOf[column] - 1] = column - 1;
            }
        }
        return columnOf;
    }

    /** Gives one more row a column, moving others along the cheapest path to a free one. */
    private void place(int row) {
        double[] least = new double[columns + 1];
        int[] before = new int[columns + 1];
        boolean[] seen = new boolean[columns + 1];
        Arrays.fill(least, Double.POSITIVE_INFINITY);
        rowOf[0] = row;
        int column = 0;
        while (rowOf[column] != 0) {
            seen[column] = true;
            column = nearest(column, least, before, seen);
        }
        for (int at = column; at != 0; at = before[at]) {
            rowOf[at] = rowOf[before[at]];
        }
    }

    /** The unseen column nearest to those seen, once the potentials have made it cost nothing. */
    private int nearest(int from, double[] least, int[] before, boolean[] seen) {
        int row = rowOf[from];
        int nearest = 0;
        for (int column = 1; column <= columns; column++) {
            if (seen[column]) {
                continue;
            }
            double reduced = costs[row - 1][column - 1] - rowPotential[row] - columnPotential[column];
            if (reduced < least[column]) {
                least[column] = reduced;
                before[column] = from;
            }
            nearest = nearest == 0 || least[column] < least[nearest] ? column : nearest;
        }
        double step = least[nearest];
        for (int column = 0; column <= columns; column++) {
            if (seen[column]) {
                rowPotential[rowOf[column]] += step;
                columnPotential[column] -= step;
            } else {
                least[column] -= step;
            }
        }
        return nearest;
    }
}
