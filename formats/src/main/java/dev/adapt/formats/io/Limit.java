package dev.adapt.formats.io;

/** The most bytes that are read of a file that is read whole, by what it is. */
public enum Limit {
    /** A config, a chat template, a list of merges: the largest known are below 1 MB. */
    CONFIG("a config", 16L << 20),

    /** The index of a sharded checkpoint: 10 MB for 100,000 tensors. */
    INDEX("an index of shards", 128L << 20),

    /** A tokenizer.json: 33 MB for Gemma's 262,144 tokens. */
    TOKENIZER("a tokenizer", 256L << 20),

    /** An .onnx_adapter file, whose offsets have 32 bits. */
    ADAPTER_TABLE("an .onnx_adapter file", Integer.MAX_VALUE - 8),

    /** An ONNX model without its external data: protobuf's own limit. */
    ONNX("an ONNX model itself", Integer.MAX_VALUE),

    /** A text file that is one document to train on. */
    DOCUMENT("one document; give several on lines of JSON, as \"text\"", 256L << 20);

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
    long bytes() {
        return bytes;
    }
}
