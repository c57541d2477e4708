package dev.adapt.formats.io;

/** The most bytes that are read of a file that is read whole, by what it is. */
public enum Limit {
    /** A config, a chat template, a list of merges: the largest known are below 1 MB. */
    CONFIG("a config", 16L << 20),

    /** The index of a sharded checkpoint: 10 MB for 100,000 tensors. */
    INDEX("an index of shards", 128L << 20),

    /** A tokenizer.json: 35 MB for 262,000 tokens. */
    TOKENIZER("a tokenizer", 256L << 20),

    /** An .onnx_adapter file, whose offsets have 32 bits. */
    ADAPTER_TABLE("an .onnx_adapter file", Integer.MAX_VALUE - 8),

    /** Data that a user trains on or compares with; they must fit in one array. */
    DATA("a data file", Integer.MAX_VALUE - 8);

    private final String title;
    private final long bytes;

    Limit(String title, long bytes) {
        this.title = title;
        this.bytes = bytes;
    }

    /** What is limited, with its article. */
    String title() {
        return title;
    }

    /** The most bytes. */
    public long bytes() {
        return bytes;
    }
}
