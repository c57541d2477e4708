package dev.adapt.formats.adapter;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.lowrank.Vera;
import dev.adapt.formats.method.random.Rounding;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Every adapter method, with the options that change what it computes: what holds for one must hold for all. */
public final class MethodSamples {
    private MethodSamples() {}

    /** The methods at a rank, with dropout so that storing it is seen. */
    public static List<AdapterMethod> of(int rank) {
        Map<String, Double> ranks = new LinkedHashMap<>();
        ranks.put("value", rank + 2.0);
        ranks.put("layer.0.*query", rank + 1.0);
        return List.of(
                new Lora(rank, 3, 0.125),
                new Lora(rank, 5, true, false, 0.125, Map.of(), Map.of()),
                new Lora(rank, 8, false, false, 0, ranks, Map.of("query", 2.5)),
                new Lora(rank, 5, true, true, 0.125, ranks, Map.of()),
                new Vera(rank, 0.1, 7, 0.125, false, Rounding.FMA),
                new Vera(rank, 0.25, (1L << 32) + 7, 0, true, Rounding.FMA),
                new Vera(rank, 0.1, 49, 0, false, Rounding.UNFUSED),
                new CondLora(rank, 3, 0.125),
                sample("loha", Map.of("r", rank, "alpha", 3)),
                sample("loha", Map.of("r", rank, "r2", rank + 1, "use_khatri_rao", true)),
                sample("ia3", Map.of("feedforward_modules", "[\"value\"]")),
                sample("oft", Map.of("oft_block_size", 2)),
                sample("oft", Map.of("oft_block_size", 3, "use_cayley_neumann", false, "block_share", true)),
                sample("oft", Map.of("r", 2, "coft", true, "eps", 0.01)),
                sample("lokr", Map.of("r", rank, "alpha", 3)),
                sample("lokr", Map.of("r", 1, "alpha", 2, "decompose_both", true, "decompose_factor", 2)),
                sample("c3a", Map.of("block_size", 2, "init_weights", true)),
                sample("hira", Map.of("r", rank, "hira_dropout", 0.125)),
                sample("glora", Map.of("r", rank)),
                sample(
                        "glora",
                        Map.of(
                                "r",
                                rank,
                                "config_A_B",
                                "\"vector\"",
                                "config_C",
                                "\"vector\"",
                                "config_D_E",
                                "\"vector\"")),
                sample("beft", Map.of()),
                sample("delora", Map.of("r", rank, "delora_lambda", 5)),
                sample("deft", Map.of("r", rank, "alpha", 3)),
                sample("peanut", Map.of("r", rank, "scaling", 0.5, "act_fn", "\"silu\"")),
                sample("fourierft", Map.of("n_frequency", 7, "init_weights", true)),
                sample("waveft", Map.of("n_frequency", 7, "wavelet_family", "\"db2\"")),
                sample("waveft", Map.of("n_frequency", 7, "use_idwt", false)),
                sample("shira", Map.of("r", 1, "random_seed", 3)),
                sample("boft", Map.of("boft_block_size", 2, "boft_n_butterfly_factor", 2)),
                sample("boft", Map.of("boft_block_num", 2)),
                sample("hra", Map.of("r", 4)),
                sample("miss", Map.of("r", rank, "miss_dropout", 0.125)),
                sample("miss", Map.of("r", rank, "init_weights", "\"mini\"", "mini_r", 2)),
                sample("miss", Map.of("r", 2, "init_weights", "\"bat\"")),
                sample("road", Map.of("group_size", 4)),
                sample("road", Map.of("group_size", 2, "variant", "\"road_2\"")),
                sample("road", Map.of("group_size", 4, "variant", "\"road_4\"")),
                sample("lora", Map.of("r", rank, "lora_bias", true)),
                sample("lora", Map.of("r", 2, "use_bdlora", BLOCKS)),
                sample("lora", Map.of("r", 2, "kasa_config", "{\"beta\": 0.5}")),
                sample("lora", Map.of("r", rank, "monteclora_config", "{\"num_samples\": 6}")),
                sample("lora", Map.of("r", rank, "velora_config", "{\"num_groups\": 6}")),
                sample("lora", Map.of("r", 2, "init_lora_weights", "\"pissa\"")),
                sample("lora", Map.of("r", 2, "init_lora_weights", "\"olora\"")),
                sample("adalora", Map.of("init_r", rank, "lora_alpha", 3)),
                sample("gralora", Map.of("r", 4, "hybrid_r", 1, "alpha", 3)),
                sample("lora-xs", Map.of("r", 3, "lora_xs_alpha", 2)),
                sample("pvera", Map.of("r", rank, "save_projection", false)),
                sample("randlora", Map.of("r", rank, "save_projection", false, "projection_prng_key", 7)),
                sample("randlora", Map.of("r", rank, "sparse", true)),
                sample("tinylora", Map.of("r", 2, "u", 5, "weight_tying", 0.5, "save_projection", false)),
                sample("unilora", Map.of("r", 2, "theta_d_length", 11, "proj_seed", 5)),
                sample("vblora", Map.of("r", 3, "num_vectors", 7, "vector_length", 4, "topk", 3)));
    }

    private static final String BLOCKS =
            "{\"nblocks\": 2, \"target_modules_bd_a\": [\"query\"], \"target_modules_bd_b\": [\"value\", \"dense\"]}";

    /** A method with settings, each a JSON value. */
    static AdapterMethod sample(String name, Map<String, ?> settings) {
        Map<String, JsonNode> fields = new LinkedHashMap<>();
        settings.forEach((field, value) -> {
            try {
                fields.put(field, new JsonMapper().readTree(value.toString()));
            } catch (JsonProcessingException e) {
                throw new IllegalArgumentException(field + ": " + value, e);
            }
        });
        MethodType type = Methods.named(name).orElseThrow();
        ObjectNode json = new JsonMapper().createObjectNode().put("peft_type", type.peftType());
        json.setAll(fields);
        AdapterConfig config = new AdapterConfig(new JsonDocument(Path.of("settings"), json));
        return type.reader().read(config, Map.of());
    }
}
