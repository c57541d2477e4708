package dev.adapt.formats.names;

import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where linear layers stand in a model, as torch lists its modules: part of the model by part, such as the encoder before
 * the decoder, then layer by layer, then in the order in which the layer's class makes them.
 */
public final class LayerOrder {
    /** Parts of models with several lists of layers, in the order of transformers' classes. */
    private static final List<String> PARTS =
            List.of("text_model", "vision_model", "vision_tower", "visual", "language_model", "encoder", "decoder");

    /** Where canonical names leave the part out. */
    private static final String TEXT = "language_model";

    /** The ends of names, in the order of transformers' classes. */
    private static final List<String> IN_LAYER = List.of(
            "q_proj",
            "q_a_proj",
            "q_b_proj",
            "kv_a_proj_with_mqa",
            "kv_b_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "qkv_proj",
            "self_attn.dense",
            "self.query",
            "self.key",
            "self.value",
            "self.query_proj",
            "self.key_proj",
            "self.value_proj",
            "attention.query",
            "attention.key",
            "attention.value",
            "attention.dense",
            "attention.output.dense",
            "q_lin",
            "k_lin",
            "v_lin",
            "out_lin",
            "attn.q",
            "attn.k",
            "attn.v",
            "attn.o",
            "attn.qkv",
            "attn.proj",
            "attn.Wqkv",
            "attn.Wo",
            "attn.c_attn",
            "attn.c_proj",
            "query_key_value",
            "self_attention.dense",
            "SelfAttention.q",
            "SelfAttention.k",
            "SelfAttention.v",
            "SelfAttention.o",
            "EncDecAttention.q",
            "EncDecAttention.k",
            "EncDecAttention.v",
            "EncDecAttention.o",
            "gate_proj",
            "up_proj",
            "gate_up_proj",
            "down_proj",
            "intermediate.dense",
            "output.dense",
            "ffn",
            "ffn_output",
            "lin1",
            "lin2",
            "fc1",
            "fc2",
            "fc_in",
            "fc_out",
            "mlp.Wi",
            "mlp.Wo",
            "mlp.c_fc",
            "mlp.c_proj",
            "dense_h_to_4h",
            "dense_4h_to_h",
            "DenseReluDense.wi",
            "DenseReluDense.wi_0",
            "DenseReluDense.wi_1",
            "DenseReluDense.wo");

    /** The same of attention that ends with {@code out_proj}: BART's, and what was made from it, list the queries third. */
    private static final List<String> AS_IN_BART = List.of(
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.q_proj",
            "self_attn.out_proj",
            "encoder_attn.k_proj",
            "encoder_attn.v_proj",
            "encoder_attn.q_proj",
            "encoder_attn.out_proj",
            "attention.k_proj",
            "attention.v_proj",
            "attention.q_proj",
            "attention.out_proj",
            "attn.k_proj",
            "attn.v_proj",
            "attn.q_proj",
            "attn.out_proj");

    /** A class that makes its layers in an order of its own, the feed-forward part before the attention. */
    private static final String NOMIC_BERT = "NomicBert";

    private static final Pattern NUMBER = Pattern.compile("\\.(\\d{1,6})\\.");

    private LayerOrder() {}

    /**
     * A number that is larger for a module that comes later; empty for a module whose place is not known.
     *
     * @param module its canonical name
     */
    public static Optional<Long> place(TensorNames names, String module) {
        Matcher number = NUMBER.matcher("." + module);
        Optional<Integer> inLayer = inLayer(names, module);
        if (inLayer.isEmpty() || !number.find() || names.className().startsWith(NOMIC_BERT)) {
            return Optional.empty();
        }
        long part = PARTS.stream()
                .filter(name -> ("." + module).contains("." + name + "."))
                .findFirst()
                .map(PARTS::indexOf)
                .orElse(PARTS.indexOf(TEXT));
        return Optional.of(part << 40 | Long.parseLong(number.group(1)) << 10 | inLayer.get());
    }

    private static Optional<Integer> inLayer(TensorNames names, String module) {
        String parent = module.substring(0, module.lastIndexOf('.') + 1);
        boolean asInBart = names.find(parent + "out_proj.weight").isPresent();
        return asInBart ? end(AS_IN_BART, module) : end(IN_LAYER, module).map(at -> at + AS_IN_BART.size());
    }

    private static Optional<Integer> end(List<String> ends, String module) {
        return ends.stream()
                .filter(end -> module.endsWith("." + end))
                .findFirst()
                .map(ends::indexOf);
    }
}
