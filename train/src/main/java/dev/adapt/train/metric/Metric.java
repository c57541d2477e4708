package dev.adapt.train.metric;

import java.util.Locale;

/** A number that says how good predictions are. */
public enum Metric {
    /** The share of right classes: top-1. */
    ACCURACY("accuracy", true),
    /** Of class 1 where there are two classes, else the mean over all classes. */
    F1("F1", true),
    /** Of entities, the harmonic mean of precision and recall: one is right if its type, beginning and end are. */
    ENTITY_F1("entity F1", true),
    /** Matthews correlation; for more than two classes Gorodkin's R_K (Comput. Biol. Chem. 28, 2004). */
    MATTHEWS("Matthews", true),
    /** The share of examples whose class is among the five that the model finds most likely. */
    TOP5("top-5", true),
    /** Pearson's correlation of predicted and true numbers. */
    PEARSON("Pearson", true),
    /** Spearman's rank correlation; equal numbers share the mean of their ranks. */
    SPEARMAN("Spearman", true),
    /** The normalised discounted cumulative gain of the first ten passages that are found. */
    NDCG_10("nDCG@10", true),
    /** The share of a question's passages that are found first. */
    RECALL_1("recall@1", true),
    /** The share of a question's passages among the first five that are found. */
    RECALL_5("recall@5", true),
    /** The share of a question's passages among the first ten that are found. */
    RECALL_10("recall@10", true),
    /** e to the mean cross-entropy of a token. */
    PERPLEXITY("perplexity", false);

    private final String label;
    private final boolean higherIsBetter;

    Metric(String label, boolean higherIsBetter) {
        this.label = label;
        this.higherIsBetter = higherIsBetter;
    }

    /** What people call it. */
    public String label() {
        return label;
    }

    /** What files and options call it. */
    public String key() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Whether a value is better than another, and not only as good. */
    public boolean better(double candidate, double than) {
        return higherIsBetter ? candidate > than : candidate < than;
    }
}
