package dev.adapt.verify.diagnosis;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The rows (first axis) of a found tensor and of the expected one, both of one shape.
 *
 * @param tolerance how far equal elements may differ
 */
record RowMatch(FloatTensor found, FloatTensor expected, double tolerance) {
    /** More rows are not sorted out one by one. */
    private static final int MOST = 1 << 18;

    int rows() {
        Shape shape = expected.shape();
        return shape.rank() == 0 ? 1 : Math.toIntExact(shape.dim(0));
    }

    private int width() {
        return rows() == 0 ? 0 : expected.values().length / rows();
    }

    /** The rows that differ, in order. */
    List<Integer> differing() {
        List<Integer> differing = new ArrayList<>();
        for (int row = 0; row < rows(); row++) {
            if (!equal(row, row)) {
                differing.add(row);
            }
        }
        return differing;
    }

    /** Whether row {@code own} of what was found is row {@code other} of what was expected. */
    private boolean equal(int own, int other) {
        int width = width();
        for (int i = 0; i < width; i++) {
            double difference =
                    Math.abs((double) found.values()[own * width + i] - expected.values()[other * width + i]);
            if (!(difference <= tolerance)) {
                return false;
            }
        }
        return true;
    }

    /** How many places rows stand after where they should, if nearly all of those that differ do by one number. */
    Optional<Integer> shift() {
        int rows = rows();
        List<Integer> differing = differing();
        for (int by : new int[] {1, -1, 2, -2}) {
            int fitting = 0;
            int seen = 0;
            for (int row : differing) {
                int source = row - by;
                if (source >= 0 && source < rows) {
                    seen++;
                    fitting += equal(row, source) ? 1 : 0;
                }
            }
            if (seen > 1 && fitting == seen) {
                return Optional.of(by);
            }
        }
        return Optional.empty();
    }

    /** For each row of what was found the row it should be, if they are the expected rows in another order. */
    Optional<int[]> permutation() {
        int rows = rows();
        if (rows < 2 || rows > MOST) {
            return Optional.empty();
        }
        Map<Long, List<Integer>> byKey = new HashMap<>();
        for (int row = 0; row < rows; row++) {
            byKey.computeIfAbsent(key(expected, row), absent -> new ArrayList<>())
                    .add(row);
        }
        int[] order = new int[rows];
        Set<Integer> used = new HashSet<>();
        for (int row = 0; row < rows; row++) {
            int match = match(byKey, row, used);
            if (match < 0) {
                return Optional.empty();
            }
            used.add(match);
            order[row] = match;
        }
        return Optional.of(order);
    }

    private int match(Map<Long, List<Integer>> byKey, int row, Set<Integer> used) {
        long key = key(found, row);
        // a sum that rounding moved lies in the next cell at most
        for (long near = key - 1; near <= key + 1; near++) {
            for (int candidate : byKey.getOrDefault(near, List.of())) {
                if (!used.contains(candidate) && equal(row, candidate)) {
                    return candidate;
                }
            }
        }
        return -1;
    }

    private long key(FloatTensor tensor, int row) {
        int width = width();
        double sum = 0;
        for (int i = row * width; i < (row + 1) * width; i++) {
            sum += tensor.values()[i];
        }
        double cell = Math.max(1e-30, 2 * tolerance * width);
        return Math.round(sum / cell);
    }

    /** The factor of each row, where each row is the expected one times a number; rows that are zero count as equal. */
    Optional<double[]> factors() {
        int width = width();
        double[] factors = new double[rows()];
        for (int row = 0; row < factors.length; row++) {
            double product = 0;
            double squares = 0;
            for (int i = row * width; i < (row + 1) * width; i++) {
                product += (double) found.values()[i] * expected.values()[i];
                squares += (double) expected.values()[i] * expected.values()[i];
            }
            double factor = squares == 0 ? 1 : product / squares;
            for (int i = row * width; i < (row + 1) * width; i++) {
                if (!(Math.abs(found.values()[i] - factor * expected.values()[i])
                        <= tolerance * Math.max(1, Math.abs(factor)))) {
                    return Optional.empty();
                }
            }
            factors[row] = factor;
        }
        return Optional.of(factors);
    }

    /** The range of some rows, in words. */
    static String range(List<Integer> rows, int all) {
        int first = rows.getFirst();
        int last = rows.getLast();
        if (rows.size() == 1) {
            return "row " + first;
        }
        boolean whole = last - first + 1 == rows.size();
        if (whole) {
            return last == all - 1 && first > 0 ? "the rows from " + first + " on" : "rows " + first + " to " + last;
        }
        return rows.size() + " rows between " + first + " and " + last;
    }

    /** A short order in words, such as {@code 2, 0, 1}. */
    static String order(int[] order) {
        String first = Arrays.stream(order)
                .limit(8)
                .mapToObj(Integer::toString)
                .reduce((a, b) -> a + ", " + b)
                .orElse("");
        return order.length > 8 ? first + ", …" : first;
    }
}
