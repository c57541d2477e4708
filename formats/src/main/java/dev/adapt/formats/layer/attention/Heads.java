package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.io.JsonDocument;

/** Attention heads that lie side by side in the last axis. */
public record Heads(int count, int width) {
    /**
     * The heads that share a model's width evenly.
     *
     * @throws dev.adapt.formats.FormatException if the width is no multiple of their number
     */
    public static Heads of(JsonDocument config, String widthField, String countField) {
        int width = config.positive(widthField, Limits.WIDTH);
        int count = config.positive(countField, Limits.WIDTH);
        if (width % count != 0) {
            throw config.wrong(countField, "a divisor of " + widthField + " " + width);
        }
        return new Heads(count, width / count);
    }

    /** [batch, sequence, count·width] to [batch, count, sequence, width]. */
    public <T> T split(Ops<T> ops, T states) {
        return ops.transpose(ops.reshape(states, 0, 0, count, width), 0, 2, 1, 3);
    }

    /** [batch, count, sequence, width] to [batch, sequence, count·width]. */
    public <T> T join(Ops<T> ops, T states) {
        return ops.reshape(ops.transpose(states, 0, 2, 1, 3), 0, 0, (long) count * width);
    }

    /** The width of all heads together. */
    public int total() {
        return count * width;
    }

    /** Attention's scale, 1/√width. */
    public double scale() {
        return 1 / Math.sqrt(width);
    }
}
