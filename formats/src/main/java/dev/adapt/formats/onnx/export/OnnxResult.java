package dev.adapt.formats.onnx.export;

import dev.adapt.formats.graph.Pooling;

/** What an exported graph gives. */
public sealed interface OnnxResult {
    /** The outputs of the model's class: logits where it has a head, else token states. */
    record Own() implements OnnxResult {}

    /** The states of tokens, {@code last_hidden_state} [batch, sequence, hidden], without the model's head. */
    record States() implements OnnxResult {}

    /**
     * One vector of a text, {@link #VECTOR} [batch, hidden], without the model's head.
     *
     * @param normalized whether vectors have length 1
     */
    record Vector(Pooling pooling, boolean normalized) implements OnnxResult {}

    /** What sentence-transformers calls the vector of a text. */
    String VECTOR = "sentence_embedding";

    /** What transformers calls the states of tokens. */
    String STATES = "last_hidden_state";
}
