package dev.adapt.verify.compare;

import java.util.Arrays;

/** Measures of two rows, elements {@code from} to {@code to} of two outputs. */
@SuppressWarnings("ArrayRecordComponent")
record RowMeasures(double[] a, double[] b, int from, int to) {
    /** How many of the largest elements are looked at. */
    static final int TOP = 5;

    double cosine() {
        double product = 0;
        double squaresA = 0;
        double squaresB = 0;
        for (int i = from; i < to; i++) {
            product += a[i] * b[i];
            squaresA += a[i] * a[i];
            squaresB += b[i] * b[i];
        }
        return squaresA == 0 || squaresB == 0 ? 1 : product / Math.sqrt(squaresA * squaresB);
    }

    /** The root mean square of the differences. */
    double distance() {
        double squares = 0;
        for (int i = from; i < to; i++) {
            squares += (a[i] - b[i]) * (a[i] - b[i]);
        }
        return Math.sqrt(squares / (to - from));
    }

    /** Kullback-Leibler divergence of the distributions that the rows are the logits of, in nats. */
    double divergence() {
        double logA = logOfSum(a);
        double logB = logOfSum(b);
        double sum = 0;
        for (int i = from; i < to; i++) {
            sum += Math.exp(a[i] - logA) * (a[i] - logA - b[i] + logB);
        }
        return Math.max(0, sum);
    }

    private double logOfSum(double[] row) {
        double most = Double.NEGATIVE_INFINITY;
        for (int i = from; i < to; i++) {
            most = Math.max(most, row[i]);
        }
        double sum = 0;
        for (int i = from; i < to; i++) {
            sum += Math.exp(row[i] - most);
        }
        return most + Math.log(sum);
    }

    /** The share of the largest elements that both have. */
    double top() {
        int[] ofA = largest(a);
        int[] ofB = largest(b);
        long both = Arrays.stream(ofA)
                .filter(own -> Arrays.stream(ofB).anyMatch(other -> other == own))
                .count();
        return (double) both / ofA.length;
    }

    private int[] largest(double[] row) {
        int[] best = new int[Math.min(TOP, to - from)];
        int found = 0;
        for (int i = from; i < to; i++) {
            int place = found;
            while (place > 0 && row[i] > row[best[place - 1]]) {
                place--;
            }
            if (place < best.length) {
                found = Math.min(best.length, found + 1);
                System.arraycopy(best, place, best, place + 1, found - place - 1);
                best[place] = i;
            }
        }
        return best;
    }
}
