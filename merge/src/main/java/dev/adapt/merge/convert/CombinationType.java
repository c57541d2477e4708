package dev.adapt.merge.convert;

import java.util.Locale;

/**
 * PEFT's ways of making one LoRA adapter of several ({@code add_weighted_adapter}). Those that end in {@code svd} work on
 * the updates ΔW and cut the result back to low rank; {@link #CAT} is exact; the others work on A and on B apart, and so
 * need one rank.
 */
public enum CombinationType {
    /** {@code A = Σ √|w·s|·sign(w·s)·A_i}, {@code B = Σ √|w·s|·B_i}: cross terms {@code B_i·A_j} come with it. */
    LINEAR(Pruning.NONE, false, false),
    /** {@code A = [w·s·A_i]}, {@code B = [B_i]}: the weighted sum itself, its rank the sum of all ranks. */
    CAT(Pruning.NONE, false, false),
    /** The weighted sum of the updates, cut to the rank by SVD. */
    SVD(Pruning.NONE, false, true),
    /** The largest elements are kept, those of the minority's sign left out, the rest averaged (arXiv 2306.01708). */
    TIES(Pruning.MAGNITUDE, true, false),
    TIES_SVD(Pruning.MAGNITUDE, true, true),
    /** Random elements are kept and rescaled (arXiv 2311.03099), then summed. */
    DARE_LINEAR(Pruning.RANDOM, false, false),
    DARE_LINEAR_SVD(Pruning.RANDOM, false, true),
    /** Random elements are kept and rescaled, those of the minority's sign left out, the rest averaged. */
    DARE_TIES(Pruning.RANDOM, true, false),
    DARE_TIES_SVD(Pruning.RANDOM, true, true),
    /** The largest elements are kept and summed. */
    MAGNITUDE_PRUNE(Pruning.MAGNITUDE, false, false),
    MAGNITUDE_PRUNE_SVD(Pruning.MAGNITUDE, false, true);

    /** Which elements of a tensor are set to 0 before the sum. */
    enum Pruning {
        NONE,
        MAGNITUDE,
        RANDOM
    }

    private final Pruning pruning;
    private final boolean electsSign;
    private final boolean onDelta;

    CombinationType(Pruning pruning, boolean electsSign, boolean onDelta) {
        this.pruning = pruning;
        this.electsSign = electsSign;
        this.onDelta = onDelta;
    }

    Pruning pruning() {
        return pruning;
    }

    /** Whether only elements of the majority's sign count. */
    public boolean electsSign() {
        return electsSign;
    }

    /** Whether it works on ΔW and cuts the result to a rank of choice. */
    public boolean onDelta() {
        return onDelta;
    }

    /** Whether it keeps a share of the elements only. */
    public boolean prunes() {
        return pruning != Pruning.NONE;
    }

    /** Whether that share is drawn at random. */
    public boolean draws() {
        return pruning == Pruning.RANDOM;
    }

    /** Whether A and B are combined apart, so that all adapters must have one rank. */
    boolean onFactors() {
        return !onDelta && this != CAT;
    }

    /** PEFT's name of it. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
