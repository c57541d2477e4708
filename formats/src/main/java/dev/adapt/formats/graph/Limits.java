package dev.adapt.formats.graph;

/**
 * The largest sizes that a config.json may declare, several times those of the largest published models. Counts without a
 * checkpoint depend on nothing else, so that a declared number must not decide how long a command runs; all products of these
 * fit a long.
 */
final class Limits {
    static final int LAYERS = 4096;

    /** Of token states, feed-forward networks and all heads together. */
    static final int WIDTH = 1 << 20;

    static final int HEADS = 4096;
    static final int HEAD_WIDTH = 4096;

    static final int EXPERTS = 4096;

    /** Rows of an embedding table. */
    static final int ROWS = 1 << 24;

    /** Tokens of a sequence whose positions are computed, not stored. */
    static final int SEQUENCE = 1 << 28;

    static final int LABELS = 1 << 17;

    /** Sides of an image, in pixels. */
    static final int PIXELS = 1 << 14;

    static final int CHANNELS = 1024;

    /** Groups of features that a decoder of object queries mixes, and the points of each. */
    static final int GROUPS = 256;

    static final int POINTS = 1024;
    static final int RANK = 1024;

    private Limits() {}
}
