package dev.adapt.formats.single;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.safetensors.SafetensorsFile;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * The alphas of a file of diffusers, which are in its metadata: {@code lora_adapter_metadata} is a JSON object with the fields
 * of PEFT's config, each under the name of its model. Without it alpha is the rank.
 */
record DiffusersScale(SafetensorsFile file, Optional<JsonNode> fields) {
    private static final String METADATA = "lora_adapter_metadata";

    static DiffusersScale of(SafetensorsFile file) {
        Optional<String> text = Optional.ofNullable(file.metadata().get(METADATA));
        return new DiffusersScale(
                file,
                text.map(json -> JsonDocument.parse(file.path(), json.getBytes(StandardCharsets.UTF_8))
                        .json()));
    }

    /**
     * The alpha of a module by which {@code alpha/rank} is its scale.
     *
     * @throws FormatException if alphas differ by patterns, which adapt does not read there
     */
    double alpha(String module, int rank) {
        int dot = module.indexOf('.');
        if (fields.isEmpty() || dot < 0) {
            return rank;
        }
        String prefix = module.substring(0, dot + 1);
        JsonNode patterns = fields.get().path(prefix + "alpha_pattern");
        if (!patterns.isEmpty()) {
            throw new FormatException(
                    file.path(),
                    METADATA,
                    "has an alpha_pattern, which adapt reads only from adapter_config.json: load the file with diffusers and"
                            + " save it with PEFT");
        }
        double alpha = fields.get().path(prefix + "lora_alpha").asDouble(rank);
        boolean stabilised = fields.get().path(prefix + "use_rslora").asBoolean(false);
        return stabilised ? alpha * Math.sqrt(rank) : alpha;
    }
}
