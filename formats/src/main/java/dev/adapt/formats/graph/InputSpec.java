package dev.adapt.formats.graph;

import dev.adapt.formats.safetensors.Dtype;
import java.util.List;

/**
 * An input of a model, named as Hugging Face exporters name it.
 *
 * @param dtype I64 or F32
 * @param axes for each axis its name, or its size where that is the same in every run
 */
public record InputSpec(String name, Dtype dtype, List<String> axes) {
    /** Token ids, integers [batch, sequence]. */
    public static final InputSpec IDS = integers("input_ids", "sequence");

    /** Integers [batch, sequence], or [batch, past + sequence] with a cache: 1 for a token, 0 for padding. */
    public static final InputSpec MASK = integers("attention_mask", "sequence");

    /** Integers [batch, sequence]: the place of each token in its text; without them, decoders count by the mask. */
    public static final InputSpec POSITIONS = integers("position_ids", "sequence");

    public InputSpec {
        axes = List.copyOf(axes);
    }

    /** Integers of two axes, the first of them the batch. */
    public static InputSpec integers(String name, String second) {
        return new InputSpec(name, Dtype.I64, List.of("batch", second));
    }
}
