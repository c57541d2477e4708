package dev.adapt.formats.graph;

/**
 * The largest sizes that a config.json may declare, several times those of the largest published models. Counts without a
 * checkpoint depend on nothing else, so that a declared number must not decide how long a command runs; all products of these
 * fit a long.
 */
public final class Limits {
    public static final int LAYERS = 4096;

    /** Of token states, feed-forward networks and all heads together. */
    public static final int WIDTH = 1 << 20;

    public static final int HEADS = 4096;
    public static final int HEAD_WIDTH = 4096;

    public static final int EXPERTS = 4096;

    /** Rows of an embedding table. */
    public static final int ROWS = 1 << 24;

    /** Tokens of a sequence whose positions are computed, not stored. */
    public static final int SEQUENCE = 1 << 28;

    static final int LABELS = 1 << 17;

    /** Sides of an image, in pixels. */
    public static final int PIXELS = 1 << 14;

    public static final int CHANNELS = 1024;

    /** Groups of features that a decoder of object queries mixes, and the points of each. */
    public static final int GROUPS = 256;

    public static final int POINTS = 1024;
    public static final int RANK = 1024;

    private Limits() {}
}
