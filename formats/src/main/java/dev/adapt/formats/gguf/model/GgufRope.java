package dev.adapt.formats.gguf.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufValue;
import dev.adapt.formats.gguf.model.GgufSource.Given;
import dev.adapt.formats.io.JsonDocument;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/** Rotary positions: their metadata, and the tensors of factors that llama.cpp divides frequencies by. */
final class GgufRope {
    private static final String BASE = "rope.freq_base";
    private static final String SCALING = "rope.scaling.";

    private final GgufArchitecture architecture;
    private final JsonDocument config;
    private final SequencedMap<String, GgufValue> values = new LinkedHashMap<>();
    private final SequencedMap<String, Given> tensors = new LinkedHashMap<>();
    private final List<String> notes = new ArrayList<>();
    private final int size;

    private GgufRope(GgufArchitecture architecture, JsonDocument config, int size) {
        this.architecture = architecture;
        this.config = config;
        this.size = size;
    }

    /**
     * What a config.json says of them.
     *
     * @throws FormatException if llama.cpp cannot compute it
     */
    static GgufRope of(GgufArchitecture architecture, GgufConfig hyperparameters) {
        JsonDocument config = hyperparameters.document();
        GgufRope rope = new GgufRope(architecture, config, rotated(config, hyperparameters.headLength()));
        if (architecture.rotary()) {
            rope.addBases();
            rope.addScaling(parameters(rope.config));
        }
        return rope;
    }

    /** Metadata, by key without the architecture's name. */
    SequencedMap<String, GgufValue> values() {
        return values;
    }

    /** Factors, by name of the tensor. */
    SequencedMap<String, Given> tensors() {
        return tensors;
    }

    /** What a user should know, in sentences. */
    List<String> notes() {
        return notes;
    }

    /** The fields that describe rotary positions, of layers with full attention where they differ. */
    static JsonNode parameters(JsonDocument config) {
        JsonNode all = all(config);
        return all.has("full_attention") ? all.path("full_attention") : all;
    }

    /** How many elements of a head are rotated; the share stands in config.json itself or beside the rotary fields. */
    static int rotated(JsonDocument config, int headSize) {
        String field = "partial_rotary_factor";
        return (int) (headSize
                * config.number(field, number(parameters(config), field).orElse(1.0)));
    }

    private static JsonNode all(JsonDocument config) {
        JsonNode all = config.json().path("rope_parameters");
        if (!all.isObject()) {
            all = config.json().path("rope_scaling");
        }
        return all.isObject() ? all : MissingNode.getInstance();
    }

    private void addBases() {
        boolean gemma3 = architecture.name().equals("gemma3");
        double otherwise = gemma3 ? 1_000_000 : architecture.encoder() ? 160_000 : 10_000;
        double base = number(parameters(config), "rope_theta")
                .orElse(config.number("rope_theta", config.number("global_rope_theta", otherwise)));
        values.put(BASE, GgufValue.f32(base));
        if (gemma3 || architecture.encoder()) {
            double local = number(all(config).path("sliding_attention"), "rope_theta")
                    .orElse(config.number("rope_local_base_freq", config.number("local_rope_theta", 10_000)));
            values.put(BASE + "_swa", GgufValue.f32(local));
        }
    }

    private void addScaling(JsonNode rope) {
        String type = rope.path("rope_type").asText(rope.path("type").asText("default"));
        if (type.equals("su")) {
            type = "longrope";
        }
        if (architecture.name().equals("phi3")) {
            int original = original(rope).orElse(config.positive("max_position_embeddings"));
            values.put(SCALING + "original_context_length", GgufValue.u32(original));
        }
        if (type.equals("default")) {
            return;
        }
        if (!architecture.rope().contains(type)) {
            throw new FormatException(
                    config.path(),
                    "rope_type",
                    "is " + type + ", which llama.cpp does not compute for " + architecture.name() + "; it knows "
                            + (architecture.rope().isEmpty() ? "no scaling" : architecture.rope()));
        }
        switch (type) {
            case "linear" -> {
                values.put(SCALING + "type", GgufValue.text("linear"));
                values.put(SCALING + "factor", GgufValue.f32(require(rope, "factor")));
            }
            case "yarn" -> addYarn(rope);
            case "llama3" -> tensors.put("rope_freqs.weight", row(llama3(rope)));
            default -> addLong(rope);
        }
    }

    private void addYarn(JsonNode rope) {
        double factor = require(rope, "factor");
        values.put(SCALING + "type", GgufValue.text("yarn"));
        values.put(SCALING + "factor", GgufValue.f32(factor));
        values.put(
                SCALING + "original_context_length",
                GgufValue.u32(original(rope).orElse(config.positive("max_position_embeddings"))));
        values.put(
                SCALING + "yarn_beta_fast",
                GgufValue.f32(number(rope, "beta_fast").orElse(32.0)));
        values.put(
                SCALING + "yarn_beta_slow",
                GgufValue.f32(number(rope, "beta_slow").orElse(1.0)));
        if (!rope.path("truncate").asBoolean(true)) {
            notes.add(
                    "llama.cpp rounds to whole dimensions where YaRN's ramp begins and ends, and config.json says that"
                            + " truncate is false: its logits differ from transformers', the more the narrower the heads"
                            + " are");
        }
        // llama.cpp multiplies this one by 0.1·ln(factor) + 1
        double usual = factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
        number(rope, "attention_factor")
                .ifPresent(own -> values.put(SCALING + "attn_factor", GgufValue.f32(own / usual)));
    }

    private void addLong(JsonNode rope) {
        int original = original(rope).orElse(config.positive("max_position_embeddings"));
        notes.add("llama.cpp takes the short factors of rotary positions in contexts of up to " + original
                + " tokens and the long ones in larger contexts, whatever the length of the text: for short texts, give the"
                + " context that size");
        double most = config.positive("max_position_embeddings");
        double factor = number(rope, "factor").orElse(most / original);
        double usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
        if (!architecture.name().equals("phi3")) {
            values.put(SCALING + "type", GgufValue.text("longrope"));
        }
        values.put(SCALING + "original_context_length", GgufValue.u32(original));
        values.put(
                SCALING + "attn_factor",
                GgufValue.f32(number(rope, "attention_factor").orElse(usual)));
        tensors.put("rope_factors_long.weight", row(factors(rope, "long_factor")));
        tensors.put("rope_factors_short.weight", row(factors(rope, "short_factor")));
    }

    /** Llama 3: low frequencies are divided by the factor, high ones stay, between them it goes smoothly. */
    private float[] llama3(JsonNode rope) {
        double base = number(parameters(config), "rope_theta").orElse(config.number("rope_theta", 10_000));
        double factor = require(rope, "factor");
        double low = require(rope, "low_freq_factor");
        double high = require(rope, "high_freq_factor");
        double original = require(rope, "original_max_position_embeddings");
        float[] factors = new float[size / 2];
        for (int i = 0; i < factors.length; i++) {
            double length = 2 * Math.PI * Math.pow(base, 2.0 * i / size);
            double smooth = (original / length - low) / (high - low);
            factors[i] = (float)
                    (length < original / high
                            ? 1
                            : length > original / low ? factor : 1 / ((1 - smooth) / factor + smooth));
        }
        return factors;
    }

    private float[] factors(JsonNode rope, String field) {
        JsonNode list = rope.path(field);
        float[] factors = new float[list.size()];
        for (int i = 0; i < factors.length; i++) {
            factors[i] = (float) list.path(i).asDouble();
        }
        if (factors.length != size / 2) {
            throw new FormatException(
                    config.path(), field, "expected " + size / 2 + " numbers, found " + factors.length);
        }
        return factors;
    }

    private static Given row(float... values) {
        return new Given(1, values.length, values);
    }

    private Optional<Integer> original(JsonNode rope) {
        String field = "original_max_position_embeddings";
        return number(rope, field)
                .map(Double::intValue)
                .or(() -> config.has(field) ? Optional.of(config.positive(field)) : Optional.empty());
    }

    private double require(JsonNode rope, String field) {
        return number(rope, field)
                .orElseThrow(() -> new FormatException(
                        config.path(), field, "expected a number in the description of rotary positions, found none"));
    }

    private static Optional<Double> number(JsonNode node, String field) {
        JsonNode number = node.path(field);
        return number.isNumber() && Double.isFinite(number.doubleValue())
                ? Optional.of(number.doubleValue())
                : Optional.empty();
    }
}
