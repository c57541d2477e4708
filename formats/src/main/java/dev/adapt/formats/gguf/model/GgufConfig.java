package dev.adapt.formats.gguf.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufValue;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.IntStream;

/**
 * A checkpoint's hyperparameters as llama.cpp's metadata: what an architecture's {@code keys} list, the sizes of heads, sliding
 * windows and rotary positions.
 */
final class GgufConfig {
    /** The field that attention scores are divided by the square root of; transformers takes 256 where it is absent. */
    static final String QUERY_SCALAR = "query_pre_attn_scalar";

    private static final String WINDOW = "attention.sliding_window";
    private static final List<String> TEXT_PARTS = List.of("text_config", "llm_config", "language_config");

    private final GgufArchitecture architecture;
    private final JsonDocument config;
    private final TensorNames names;
    private final SequencedMap<String, GgufValue> values = new LinkedHashMap<>();
    private final List<String> notes = new ArrayList<>();
    private final int layers;
    private final int heads;
    private final int headSize;

    private GgufConfig(GgufArchitecture architecture, JsonDocument config, TensorNames names) {
        this.architecture = architecture;
        this.config = config;
        this.names = names;
        requireValues();
        architecture.keys().forEach((key, rule) -> values.put(key, value(rule)));
        this.layers = whole("block_count");
        this.heads = whole("attention.head_count");
        this.headSize = headSize();
    }

    /**
     * The hyperparameters of a checkpoint.
     *
     * @throws FormatException if llama.cpp cannot compute what the config.json describes
     */
    static GgufConfig of(GgufArchitecture architecture, JsonDocument config, TensorNames names) {
        GgufConfig built = new GgufConfig(architecture, text(config), names);
        built.addHeads();
        built.addExperts();
        built.addWindow();
        built.requireRotaryLayers();
        return built;
    }

    /** The part of a config.json that describes the language model: mostly all of it. */
    static JsonDocument text(JsonDocument config) {
        for (String part : TEXT_PARTS) {
            if (config.json().get(part) instanceof ObjectNode inner && inner.has("num_hidden_layers")) {
                return new JsonDocument(config.path(), inner);
            }
        }
        return config;
    }

    /** The metadata, by key without the architecture's name. */
    SequencedMap<String, GgufValue> values() {
        return values;
    }

    /** What a user should know, in sentences. */
    List<String> notes() {
        return notes;
    }

    int layers() {
        return layers;
    }

    int heads() {
        return heads;
    }

    int keyHeads() {
        return values.containsKey("attention.head_count_kv") ? whole("attention.head_count_kv") : heads;
    }

    int experts() {
        return whole("expert_count");
    }

    int headLength() {
        return headSize;
    }

    JsonDocument document() {
        return config;
    }

    private int whole(String key) {
        if (values.get(key) instanceof GgufValue.Whole(GgufValue.Kind kind, long value) && value > 0) {
            return Math.toIntExact(value);
        }
        throw new FormatException(config.path(), "does not tell " + key + ", which llama.cpp needs");
    }

    private void requireValues() {
        for (Map.Entry<String, JsonNode> rule : architecture.requires().properties()) {
            boolean must = rule.getKey().endsWith("!");
            String field = must ? rule.getKey().substring(0, rule.getKey().length() - 1) : rule.getKey();
            JsonNode found = config.json().path(field);
            boolean absent = found.isMissingNode() || found.isNull();
            boolean allowed = absent && !must;
            for (JsonNode each : rule.getValue()) {
                allowed |= each.equals(found);
            }
            if (!allowed) {
                throw new FormatException(
                        config.path(),
                        field,
                        "is " + (absent ? "not set" : found) + ", but llama.cpp computes "
                                + architecture.name()
                                + (rule.getValue().isEmpty() ? " without it" : " as with " + rule.getValue())
                                + " only");
            }
        }
    }

    /** A value by its rule: {@code TYPE FIELD|FIELD =DEFAULT}. */
    private GgufValue value(String rule) {
        String[] words = rule.split(" ", -1);
        double number = Double.NaN;
        for (String field : words[1].split("\\|", -1)) {
            if (Double.isNaN(number)) {
                number = field.startsWith("@") ? length(field.substring(1)) : config.number(field, Double.NaN);
            }
        }
        if (Double.isNaN(number) && words.length > 2) {
            number = Double.parseDouble(words[2].substring(1));
        }
        if (Double.isNaN(number)) {
            throw config.wrong(words[1].replaceFirst("\\|.*", ""), "a number");
        }
        if (words[0].equals("f32")) {
            return GgufValue.f32(number);
        }
        if (number != Math.rint(number) || number < 1 || number > Integer.MAX_VALUE) {
            throw config.wrong(words[1].replaceFirst("\\|.*", ""), "a positive integer");
        }
        return GgufValue.u32((long) number);
    }

    private double length(String tensor) {
        return names.shape(tensor)
                .filter(shape -> shape.rank() > 0)
                .map(shape -> (double) shape.dim(0))
                .orElse(Double.NaN);
    }

    private int headSize() {
        Optional<Shape> query = names.shape("layers.0.self_attn.q_proj.weight");
        long width = query.map(shape -> shape.dim(0)).orElse((long) whole("embedding_length"));
        if (width % heads != 0) {
            throw config.wrong("num_attention_heads", "a divisor of " + width + ", the rows of the queries' weight");
        }
        return Math.toIntExact(width / heads);
    }

    private void addHeads() {
        if (!architecture.rotary()) {
            return;
        }
        values.put("attention.key_length", GgufValue.u32(headSize));
        values.put("attention.value_length", GgufValue.u32(headSize));
        values.put("rope.dimension_count", GgufValue.u32(GgufRope.rotated(config, headSize)));
    }

    private void addExperts() {
        architecture
                .expertLength()
                .ifPresent(field -> values.put("expert_feed_forward_length", GgufValue.u32(config.positive(field))));
    }

    /** Which layers see only a window of the text. */
    private void addWindow() {
        int window = config.integer("sliding_window", 0, 0, Integer.MAX_VALUE);
        if (architecture.encoder()) {
            window = config.integer("local_attention", 0, 0, Integer.MAX_VALUE);
        }
        if (architecture.recordsWindow()) {
            values.put(WINDOW, GgufValue.u32(window));
        }
        if (architecture.sliding() == 0) {
            boolean used = config.flag("use_sliding_window", true);
            if (used && window > 0 && window < whole("context_length")) {
                notes.add("llama.cpp lets " + architecture.name() + " attend to all tokens: beyond " + window
                        + " tokens, the model's sliding window, it differs");
            }
            return;
        }
        if (window == 0) {
            return;
        }
        boolean[] sliding = slidingLayers();
        values.put(WINDOW, GgufValue.u32(window));
        int period = period(sliding);
        if (period != architecture.sliding()) {
            values.put(WINDOW + "_pattern", GgufValue.u32(period));
        }
    }

    private boolean[] slidingLayers() {
        boolean[] sliding = new boolean[layers];
        JsonNode types = config.json().path("layer_types");
        int every = config.integer(
                "sliding_window_pattern",
                config.integer("global_attn_every_n_layers", architecture.sliding(), 1, 1000),
                1,
                1000);
        for (int i = 0; i < layers; i++) {
            sliding[i] = types.isArray() ? types.path(i).asText("").equals("sliding_attention") : isSliding(i, every);
        }
        return sliding;
    }

    /** llama.cpp's rule: every so many layers one sees all, the last of them in decoders, the first in encoders. */
    private boolean isSliding(int layer, int every) {
        return architecture.encoder() ? layer % every != 0 : layer % every < every - 1;
    }

    private int period(boolean... sliding) {
        return IntStream.concat(IntStream.of(architecture.sliding()), IntStream.rangeClosed(1, layers + 1))
                .filter(every -> IntStream.range(0, layers).allMatch(i -> sliding[i] == isSliding(i, every)))
                .findFirst()
                .orElseThrow(() -> config.wrong(
                        "layer_types", "full attention in every so many layers, as llama.cpp computes it"));
    }

    private void requireRotaryLayers() {
        JsonNode flags = config.json().path("no_rope_layers");
        int every = architecture.noRopeInterval();
        for (int i = 0; every > 0 && i < layers && flags.isArray(); i++) {
            boolean rotates = flags.path(i).asInt(1) != 0;
            if (rotates == ((i + 1) % every == 0)) {
                throw config.wrong(
                        "no_rope_layers",
                        "0 for every " + every + "th layer and 1 for the others, as llama.cpp computes "
                                + architecture.name());
            }
        }
    }

    /** The heads of a query's or key's projection. */
    int headsOf(String canonical) {
        return canonical.contains(".q_proj") ? heads : keyHeads();
    }

    /** What the queries are to be multiplied by, so that llama.cpp's attention scale becomes the model's. */
    double queryGain() {
        return queryGain(
                architecture, config, assumedScalar(architecture, layers, whole("embedding_length"), heads, headSize));
    }

    /** The same, by what llama.cpp takes the scale from. */
    static double queryGain(GgufArchitecture architecture, JsonDocument config, double assumed) {
        return architecture.queryScale().isPresent() ? Math.sqrt(assumed / config.number(QUERY_SCALAR, 256)) : 1;
    }

    /** What llama.cpp takes the scale of attention from, where config.json has {@link #QUERY_SCALAR}. */
    static double assumedScalar(GgufArchitecture architecture, long layers, long width, long heads, long headSize) {
        return layers == architecture.large() ? (double) width / heads : headSize;
    }
}
