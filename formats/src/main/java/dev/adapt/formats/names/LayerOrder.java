package dev.adapt.formats.names;

import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where linear layers stand in a model, as torch lists its modules: by layer, and in each layer in the class's order. */
public final class LayerOrder {
    /** The ends of names, in the order of transformers' classes. */
    private static final List<String> IN_LAYER = List.of(
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "self.query",
            "self.key",
            "self.value",
            "attention.output.dense",
            "attn.c_attn",
            "attn.c_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
            "intermediate.dense",
            "output.dense",
            "mlp.c_fc",
            "mlp.c_proj");

    private static final Pattern NUMBER = Pattern.compile("\\.(\\d{1,6})\\.");

    private LayerOrder() {}

    /** A number that is larger for a module that comes later; empty for a module that is none of the known ones. */
    public static Optional<Long> place(String module) {
        Matcher number = NUMBER.matcher(module);
        for (int i = 0; i < IN_LAYER.size(); i++) {
            if (module.endsWith("." + IN_LAYER.get(i)) && number.find()) {
                return Optional.of(Long.parseLong(number.group(1)) * IN_LAYER.size() + i);
            }
        }
        return Optional.empty();
    }
}
