package dev.adapt.train.data;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;

/**
 * Some examples of a data set.
 *
 * @param indices their numbers in the data set
 */
public record Selection(Examples all, List<Integer> indices) implements Examples {
    public Selection {
        indices = List.copyOf(indices);
    }

    /** A data set in two parts. */
    public record Split(Examples training, Examples dev) {}

    /**
     * Draws a share of a data set, of each class the same, rounded, and at least one example in all.
     *
     * @param share above 0 and below 1
     */
    public static Split split(Examples all, double share, long seed) {
        TreeMap<Integer, List<Integer>> byClass = new TreeMap<>();
        for (int i = 0; i < all.size(); i++) {
            byClass.computeIfAbsent(all.classOf(i), absent -> new ArrayList<>()).add(i);
        }
        Random random = new Random(seed);
        List<Integer> training = new ArrayList<>();
        List<Integer> dev = new ArrayList<>();
        byClass.values().forEach(own -> {
            Collections.shuffle(own, random);
            int count = (int) Math.min(own.size() - 1, Math.round(share * own.size()));
            dev.addAll(own.subList(0, count));
            training.addAll(own.subList(count, own.size()));
        });
        if (dev.isEmpty() && training.size() > 1) {
            dev.add(training.removeLast());
        }
        Collections.sort(training);
        Collections.sort(dev);
        return new Split(new Selection(all, training), new Selection(all, dev));
    }

    @Override
    public int size() {
        return indices.size();
    }

    @Override
    public int length(int index) {
        return all.length(indices.get(index));
    }

    @Override
    public int classOf(int index) {
        return all.classOf(indices.get(index));
    }

    @Override
    public Batch batch(List<Integer> chosen) {
        return all.batch(chosen.stream().map(indices::get).toList());
    }
}
