package dev.adapt.merge.engine;

import dev.adapt.merge.kernel.Floats;
import dev.adapt.merge.kernel.Lane;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/** What a merge did to each weight, gathered tile by tile. */
public final class Statistics {
    /**
     * One weight.
     *
     * @param deltaNorm ‖ΔW‖, Frobenius's norm; with a magnitude ΔW is the whole change, W' − W
     * @param relative ‖ΔW‖/‖W‖
     * @param largestRounding the largest difference between a sum and the element it was rounded to
     * @param elements of the weight
     * @param changes elements whose update is not zero
     * @param lost of these, how many the base's dtype is too coarse to show: the merged element is the base's
     */
    public record Tensor(
            String name,
            String dtype,
            double deltaNorm,
            double relative,
            double largestRounding,
            long elements,
            long changes,
            long lost) {}

    private record Sums(double delta, double weight, double rounding, long elements, long changes, long lost) {}

    private record Key(String name, String dtype) {}

    // by tile: sums of doubles are added in the order of the tiles, whatever the order they came in
    private final Map<Key, Map<Long, Sums>> tiles = new ConcurrentHashMap<>();

    /** Takes in a tile. */
    public void tile(Update update, int tile, Lane lane, MemorySegment before, MemorySegment after) throws IOException {
        double delta = 0;
        double weight = 0;
        double rounding = 0;
        long changes = 0;
        long lost = 0;
        Floats dtype = update.dtype();
        Update.TileChange added = update.change(tile, lane, before);
        int rows = update.rows(tile);
        int columns = update.columns();
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                long index = (long) row * columns + column;
                double old = dtype.get(before, index);
                double merged = dtype.get(after, index);
                double change = added.at(row, column, old);
                delta += change * change;
                weight += old * old;
                rounding = Math.max(rounding, Math.abs(old + change - merged));
                changes += change == 0 ? 0 : 1;
                lost += change != 0 && merged == old ? 1 : 0;
            }
        }
        Key key = new Key(update.task().place().name(), dtype.name());
        tiles.computeIfAbsent(key, absent -> new ConcurrentHashMap<>())
                .put(update.offset(tile), new Sums(delta, weight, rounding, (long) rows * columns, changes, lost));
    }

    /** All weights, by name. */
    public List<Tensor> tensors() {
        return tiles.entrySet().stream()
                .map(entry -> tensor(entry.getKey(), new TreeMap<>(entry.getValue())))
                .sorted(Comparator.comparing(Tensor::name))
                .toList();
    }

    private static Tensor tensor(Key key, Map<Long, Sums> tiles) {
        Sums all = tiles.values().stream()
                .reduce(
                        new Sums(0, 0, 0, 0, 0, 0),
                        (left, right) -> new Sums(
                                left.delta + right.delta,
                                left.weight + right.weight,
                                Math.max(left.rounding, right.rounding),
                                left.elements + right.elements,
                                left.changes + right.changes,
                                left.lost + right.lost));
        double norm = Math.sqrt(all.delta);
        return new Tensor(
                key.name,
                key.dtype,
                norm,
                all.weight == 0 ? 0 : norm / Math.sqrt(all.weight),
                all.rounding,
                all.elements,
                all.changes,
                all.lost);
    }
}
