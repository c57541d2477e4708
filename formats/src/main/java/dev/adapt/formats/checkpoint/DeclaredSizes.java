package dev.adapt.formats.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.util.List;

/**
 * The sizes that a config.json declares, bounded by what the checkpoint holds: a model has a tensor or more for each layer, and
 * as many elements as it is wide. Nobody then loops over, or allocates for, a number that is only written down.
 */
public final class DeclaredSizes {
    /** Counts of layers, as model families name them. */
    private static final List<String> LAYERS = List.of(
            "num_hidden_layers",
            "num_layers",
            "n_layer",
            "n_layers",
            "encoder_layers",
            "decoder_layers",
            "num_decoder_layers",
            "num_stages");

    /** Sizes that a tensor of the model has. */
    private static final List<String> WIDTHS = List.of(
            "hidden_size",
            "n_embd",
            "d_model",
            "dim",
            "intermediate_size",
            "n_inner",
            "d_ff",
            "ffn_dim",
            "vocab_size",
            "num_attention_heads",
            "n_head",
            "num_labels");

    /** A config with this field shares layers: ALBERT has fewer tensors than layers. */
    private static final String SHARED = "num_hidden_groups";

    private DeclaredSizes() {}

    /**
     * Checks a config and those inside it, such as {@code text_config}.
     *
     * @param tensors how many the checkpoint holds
     * @param elements of all of them
     * @throws FormatException naming the first field that is larger than the checkpoint can be
     */
    public static void check(JsonDocument config, int tensors, long elements) {
        boolean shared = config.has(SHARED);
        for (String field : LAYERS) {
            require(config, field, shared ? elements : tensors, tensors + " tensors");
        }
        for (String field : WIDTHS) {
            require(config, field, elements, tensors + " tensors of " + elements + " elements in all");
        }
        config.json().properties().forEach(entry -> {
            boolean inner = entry.getKey().endsWith("_config")
                    || entry.getKey().equals("encoder")
                    || entry.getKey().equals("decoder");
            if (inner && entry.getValue() instanceof ObjectNode json) {
                check(new JsonDocument(config.path(), json), tensors, elements);
            }
        });
    }

    private static void require(JsonDocument config, String field, long most, String held) {
        JsonNode declared = config.json().path(field);
        if (declared.isNumber() && declared.doubleValue() > most) {
            throw new FormatException(
                    config.path(),
                    field,
                    "declares " + declared + ", and the checkpoint holds only " + held
                            + "; get the config.json that belongs to these weights");
        }
    }
}
