package dev.adapt.train.data;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Random;

/** A data set that a model can be given, batch by batch; examples are numbered from 0. */
public interface Examples {
    /** Batches of one pass are sorted by length within so many batches, which pads little and mixes well. */
    int BUCKET = 16;

    /** How many there are. */
    int size();

    /** How long an example is, where that decides how much padding a batch needs. */
    int length(int index);

    /** The class of an example; 0 of all where there are none. */
    default int classOf(int index) {
        return 0;
    }

    /** What the limit on their length cut off. */
    default Truncation truncation() {
        return Truncation.none(size());
    }

    /** The batch of some examples. */
    Batch batch(List<Integer> indices);

    /** One pass over all examples in an order that the generator decides, each once, neighbours of like length. */
    default List<List<Integer>> shuffled(int batchSize, Random random) {
        List<Integer> order = order();
        Collections.shuffle(order, random);
        List<Integer> bucketed = new ArrayList<>();
        for (int from = 0; from < order.size(); from += BUCKET * batchSize) {
            List<Integer> bucket = order.subList(from, Math.min(order.size(), from + BUCKET * batchSize));
            bucket.stream().sorted(Comparator.comparingInt(this::length)).forEach(bucketed::add);
        }
        List<List<Integer>> batches = cut(bucketed, batchSize);
        Collections.shuffle(batches, random);
        return batches;
    }

    /**
     * All examples by length, for evaluation.
     *
     * @param most tokens of a batch, unless one example has more
     */
    default List<List<Integer>> byLength(int batchSize, int most) {
        List<List<Integer>> batches = new ArrayList<>();
        List<Integer> open = new ArrayList<>();
        for (int index :
                order().stream().sorted(Comparator.comparingInt(this::length)).toList()) {
            boolean full = open.size() == batchSize || (open.size() + 1L) * length(index) > most;
            if (full && !open.isEmpty()) {
                batches.add(open);
                open = new ArrayList<>();
            }
            open.add(index);
        }
        if (!open.isEmpty()) {
            batches.add(open);
        }
        return batches;
    }

    private List<Integer> order() {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < size(); i++) {
            order.add(i);
        }
        return order;
    }

    private static List<List<Integer>> cut(List<Integer> order, int batchSize) {
        List<List<Integer>> batches = new ArrayList<>();
        for (int from = 0; from < order.size(); from += batchSize) {
            batches.add(order.subList(from, Math.min(order.size(), from + batchSize)));
        }
        return batches;
    }
}
