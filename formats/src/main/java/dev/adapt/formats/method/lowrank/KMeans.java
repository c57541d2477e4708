package dev.adapt.formats.method.lowrank;

import dev.adapt.formats.method.random.NumpyChoice;
import dev.adapt.formats.tensor.DoubleTensor;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * Lloyd's k-means as scikit-learn runs it with {@code init="random"} and one start, in float64: points are centred, the first
 * centres are points that NumPy draws from a seed, and it ends where no point changes its cluster or the centres hardly move.
 */
final class KMeans {
    /** Of the mean variance of the coordinates: how far centres may still move at the end. */
    private static final double TOLERANCE = 1e-4;

    private final double[][] points;
    private final double[][] centres;
    private final int[] labels;

    private KMeans(double[][] points, int clusters, long seed) {
        this.points = points;
        this.centres = new double[clusters][];
        this.labels = new int[points.length];
        int[] drawn = NumpyChoice.of(points.length, clusters, seed);
        for (int i = 0; i < clusters; i++) {
            centres[i] = points[drawn[i]].clone();
        }
    }

    /**
     * The cluster of each point.
     *
     * @param matrix a point in each row
     * @param clusters at most as many as points
     * @param iterations the most that are made
     */
    static int[] labels(DoubleTensor matrix, int clusters, int iterations, long seed) {
        int width = Math.toIntExact(matrix.shape().dim(1));
        double[][] points = new double[Math.toIntExact(matrix.shape().dim(0))][];
        for (int i = 0; i < points.length; i++) {
            points[i] = Arrays.copyOfRange(matrix.values(), i * width, (i + 1) * width);
        }
        double limit = TOLERANCE * centre(points);
        KMeans means = new KMeans(points, clusters, seed);
        means.run(iterations, limit);
        return means.labels;
    }

    /** Subtracts the mean of each coordinate, and gives the mean of their variances. */
    private static double centre(double[][] points) {
        double variances = 0;
        int width = points[0].length;
        for (int j = 0; j < width; j++) {
            int column = j;
            double mean = Arrays.stream(points)
                    .mapToDouble(point -> point[column])
                    .average()
                    .orElseThrow();
            for (double[] point : points) {
                point[j] -= mean;
                variances += point[j] * point[j];
            }
        }
        return variances / points.length / width;
    }

    private void run(int iterations, double limit) {
        int[] before = new int[points.length];
        Arrays.fill(before, -1);
        for (int i = 0; i < iterations; i++) {
            assign();
            double moved = update();
            if (Arrays.equals(labels, before)) {
                return;
            }
            if (moved <= limit) {
                break;
            }
            System.arraycopy(labels, 0, before, 0, before.length);
        }
        assign();
    }

    private void assign() {
        IntStream.range(0, points.length).parallel().forEach(i -> {
            int nearest = 0;
            for (int c = 1; c < centres.length; c++) {
                if (distance(points[i], centres[c]) < distance(points[i], centres[nearest])) {
                    nearest = c;
                }
            }
            labels[i] = nearest;
        });
    }

    /** Moves each centre to the mean of its points; the sum of the squared distances they move. */
    private double update() {
        double[][] sums = new double[centres.length][points[0].length];
        int[] counts = new int[centres.length];
        for (int i = 0; i < points.length; i++) {
            add(sums[labels[i]], points[i], 1);
            counts[labels[i]]++;
        }
        fillEmpty(sums, counts);
        double moved = 0;
        for (int c = 0; c < centres.length; c++) {
            for (int j = 0; j < sums[c].length; j++) {
                sums[c][j] /= counts[c];
            }
            moved += distance(sums[c], centres[c]);
            centres[c] = sums[c];
        }
        return moved;
    }

    /** A cluster without points gets the one that is farthest from its centre. */
    private void fillEmpty(double[][] sums, int[] counts) {
        int[] empty =
                IntStream.range(0, counts.length).filter(c -> counts[c] == 0).toArray();
        if (empty.length == 0) {
            return;
        }
        int[] farthest = IntStream.range(0, points.length)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -distance(points[i], centres[labels[i]])))
                .limit(empty.length)
                .mapToInt(Integer::intValue)
                .toArray();
        for (int i = 0; i < empty.length; i++) {
            double[] point = points[farthest[i]];
            add(sums[labels[farthest[i]]], point, -1);
            counts[labels[farthest[i]]]--;
            add(sums[empty[i]], point, 1);
            counts[empty[i]]++;
        }
    }

    private static void add(double[] sum, double[] point, int times) {
        for (int j = 0; j < sum.length; j++) {
            sum[j] += times * point[j];
        }
    }

    private static double distance(double[] a, double[] b) {
        double squares = 0;
        for (int j = 0; j < a.length; j++) {
            squares += (a[j] - b[j]) * (a[j] - b[j]);
        }
        return squares;
    }
}
