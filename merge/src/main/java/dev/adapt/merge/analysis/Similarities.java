package dev.adapt.merge.analysis;

import dev.adapt.merge.lowrank.Subspace;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Similarities of subspaces, each layer's with each other's.
 *
 * @param layers their modules, in order
 * @param values φ of row and column; the diagonal is 1
 * @param directions i = j of φ
 */
@SuppressWarnings("ArrayRecordComponent")
public record Similarities(List<String> layers, double[][] values, int directions) {
    public Similarities {
        layers = List.copyOf(layers);
    }

    public static Similarities of(List<String> layers, List<Subspace> subspaces, int directions) {
        double[][] values = new double[layers.size()][layers.size()];
        for (int row = 0; row < values.length; row++) {
            for (int column = 0; column < values.length; column++) {
                values[row][column] = subspaces.get(row).similarity(subspaces.get(column), directions, directions);
            }
        }
        return new Similarities(layers, values, directions);
    }

    /** The mean without the diagonal. */
    public double mean() {
        int n = values.length;
        double sum = Arrays.stream(values).flatMapToDouble(Arrays::stream).sum();
        double diagonal = IntStream.range(0, n).mapToDouble(i -> values[i][i]).sum();
        return (sum - diagonal) / ((double) n * (n - 1));
    }

    /** The largest beside the diagonal. */
    public double largest() {
        return IntStream.range(0, values.length * values.length)
                .filter(at -> at / values.length != at % values.length)
                .mapToDouble(at -> values[at / values.length][at % values.length])
                .max()
                .orElse(0);
    }
}
