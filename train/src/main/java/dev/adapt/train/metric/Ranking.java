package dev.adapt.train.metric;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.Set;

/** Counts at which ranks the passages that answer questions are found among all. */
public final class Ranking {
    private static final int DEEPEST = 10;

    /** The ranks of a question's passages, from 1, in order. */
    private final List<int[]> found = new ArrayList<>();

    /** Has counted no question yet. */
    public Ranking() {}

    /**
     * Adds a question.
     *
     * @param scores of all passages
     * @param right the numbers of those that answer it
     */
    public void add(double[] scores, Set<Integer> right) {
        if (right.isEmpty()) {
            throw new IllegalArgumentException("no passage answers the question");
        }
        found.add(right.stream()
                .mapToInt(own -> rank(scores, own, right))
                .sorted()
                .toArray());
    }

    /** One more than the passages before it; of equal score, those that do not answer come first. */
    private static int rank(double[] scores, int own, Set<Integer> right) {
        int rank = 1;
        for (int other = 0; other < scores.length; other++) {
            boolean before = scores[other] > scores[own]
                    || (scores[other] == scores[own] && other != own && (!right.contains(other) || other < own));
            rank += before ? 1 : 0;
        }
        return rank;
    }

    /** The figures of all that was added: means over questions. */
    public SequencedMap<Metric, Double> values() {
        SequencedMap<Metric, Double> values = new LinkedHashMap<>();
        values.put(Metric.NDCG_10, mean(Ranking::gain));
        values.put(Metric.RECALL_1, mean(ranks -> recall(ranks, 1)));
        values.put(Metric.RECALL_5, mean(ranks -> recall(ranks, 5)));
        values.put(Metric.RECALL_10, mean(ranks -> recall(ranks, DEEPEST)));
        return values;
    }

    private interface Figure {
        double of(int[] ranks);
    }

    private double mean(Figure figure) {
        return found.stream().mapToDouble(figure::of).average().orElse(0);
    }

    private static double recall(int[] ranks, int depth) {
        return (double) Arrays.stream(ranks).filter(rank -> rank <= depth).count() / ranks.length;
    }

    /** Normalised discounted cumulative gain of the first ten: a passage at rank r counts 1 / log2(r + 1). */
    private static double gain(int[] ranks) {
        double gain = 0;
        double most = 0;
        for (int i = 0; i < ranks.length; i++) {
            gain += ranks[i] <= DEEPEST ? discount(ranks[i]) : 0;
            most += i < DEEPEST ? discount(i + 1) : 0;
        }
        return gain / most;
    }

    private static double discount(int rank) {
        return Math.log(2) / Math.log(rank + 1.0);
    }
}
