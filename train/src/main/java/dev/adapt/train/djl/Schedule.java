package dev.adapt.train.djl;

/**
 * A learning rate as a share of its peak: it rises linearly from 0 over the warm-up and then decays.
 *
 * @param warmUp steps of the warm-up
 * @param total steps of the run
 */
public record Schedule(int warmUp, int total, Decay decay) {
    /** How the rate falls after the warm-up. */
    public enum Decay {
        /** Linearly, to 0 at the end. */
        LINEAR,
        /** By half a cosine wave, to 0 at the end. */
        COSINE,
        /** Not at all. */
        CONSTANT
    }

    /** Decays linearly. */
    public Schedule(int warmUp, int total) {
        this(warmUp, total, Decay.LINEAR);
    }

    /** The share of the peak at a step counted from 0. */
    public double at(int step) {
        if (step < warmUp) {
            return (double) step / Math.max(1, warmUp);
        }
        double left = Math.max(0, (double) (total - step) / Math.max(1, total - warmUp));
        return switch (decay) {
            case LINEAR -> left;
            case COSINE -> (1 - Math.cos(Math.PI * left)) / 2;
            case CONSTANT -> 1;
        };
    }
}
