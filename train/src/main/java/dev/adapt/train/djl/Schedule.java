package dev.adapt.train.djl;

/**
 * A learning rate that rises linearly from 0 over the warm-up and falls linearly to 0 at the end, as a share of its peak.
 */
public record Schedule(int warmUp, int total) {
    /** The share of the peak at a step counted from 0. */
    public double at(int step) {
        if (step < warmUp) {
            return (double) step / Math.max(1, warmUp);
        }
        return Math.max(0, (double) (total - step) / Math.max(1, total - warmUp));
    }
}
