package dev.adapt.formats.architecture.decoder;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderHead;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.DecoderSpec;
import dev.adapt.formats.layer.FeedForward;
import dev.adapt.formats.layer.TokenEmbedding;
import dev.adapt.formats.layer.attention.Attention;
import dev.adapt.formats.layer.attention.DecoderAttention;
import dev.adapt.formats.layer.attention.Heads;
import dev.adapt.formats.layer.attention.Projections;
import dev.adapt.formats.layer.attention.Rope;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;

/**
 * A {@link DecoderSpec} in the making. It begins as Llama with the sizes of a config.json; a family of models changes what
 * differs.
 */
final class DecoderDraft {
    /** How one layer that makes queries, keys and values at once lays them out. */
    enum Layout {
        JOINED,
        GROUPED
    }

    final ModelConfig model;
    final JsonDocument config;

    // sizes
    final int hidden;
    final int layers;
    int inner;
    Heads queries;
    Heads keys;
    Tokens tokens;

    // names
    String words = "embed_tokens";
    String layerName = "layers.";
    Optional<String> finalNorm = Optional.of("norm");
    String prefix = "model.";
    String headName = Decoder.LM_HEAD;
    String tokenClassifier = Head.SCORE;
    String className;
    List<String> projections = List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj");
    String output = "self_attn.o_proj";
    String gate = "mlp.gate_proj";
    String up = "mlp.up_proj";
    String down = "mlp.down_proj";
    List<String> usualTargets = List.of("q_proj", "v_proj");

    // blocks
    Norm norm;
    DecoderLayer.Branch attentionNorms = DecoderLayer.Branch.before("input_layernorm");
    DecoderLayer.Branch feedForwardNorms = DecoderLayer.Branch.before("post_attention_layernorm");
    boolean parallel;
    Layout layout = Layout.JOINED;
    boolean transposed;
    boolean biasedProjections;
    boolean biasedOutput;
    boolean biasedFeedForward;
    Optional<Attention.QueryKeyNorms> queryKeyNorms = Optional.empty();
    IntFunction<Optional<Rope>> rope;
    Optional<FloatTensor> slopes = Optional.empty();
    List<Optional<Integer>> windows;
    IntFunction<Double> scale;
    Optional<Double> scoreCap = Optional.empty();
    Optional<String> sinks = Optional.empty();
    IntFunction<FeedForward> feedForward = index -> gated();
    Activation activation;

    // what surrounds the layers
    Optional<TokenEmbedding.Positions> positions = Optional.empty();
    Optional<String> embeddingNorm = Optional.empty();
    int embeddingWidth;
    Optional<LinearLayer> projectionIn = Optional.empty();
    Optional<LinearLayer> projectionOut = Optional.empty();
    double embeddingScale = 1;
    double residualScale = 1;
    double logitScale = 1;
    Optional<Double> logitCap = Optional.empty();
    boolean tied;
    boolean biasedHead;
    double embeddingDropout;
    double attentionDropout;
    double residualDropout;

    DecoderDraft(ModelConfig model, String className) {
        this.model = model;
        this.config = model.document();
        this.className = className;
        this.hidden = positive(Limits.WIDTH, "hidden_size", "n_embd", "n_embed", "d_model");
        this.layers = positive(Limits.LAYERS, "num_hidden_layers", "n_layer", "num_layers");
        String heads = config.either("num_attention_heads", "n_head", "num_heads");
        int count = config.positive(heads, Limits.HEADS);
        this.queries = config.has("head_dim")
                ? new Heads(count, config.positive("head_dim", Limits.HEAD_WIDTH))
                : new Heads(count, evenly(heads, count));
        int shared = config.positive("num_key_value_heads", Limits.HEADS, count);
        this.keys = new Heads(shared, queries.width());
        this.inner = config.positive("intermediate_size", Limits.WIDTH, 4 * hidden);
        this.tokens = new Tokens(config.positive("vocab_size", Limits.ROWS), longest(), 1);
        this.norm = new Norm(Norm.Kind.RMS, config.number("rms_norm_eps", 1e-6));
        this.activation = Activation.of(config, "hidden_act", "silu");
        this.rope = turning(Rope.Defaults.LLAMA);
        this.windows = Collections.nCopies(layers, Optional.empty());
        this.scale = index -> queries.scale();
        this.embeddingWidth = hidden;
        this.tied = config.flag("tie_word_embeddings", false);
        this.attentionDropout = config.number("attention_dropout", 0);
    }

    /** The first of these fields that the config has. */
    int positive(int most, String... names) {
        return config.positive(config.either(names), most);
    }

    private int evenly(String field, int count) {
        if (hidden % count != 0) {
            throw config.wrong(field, "a divisor of the width " + hidden);
        }
        return hidden / count;
    }

    private int longest() {
        String field = config.either("max_position_embeddings", "n_positions");
        return config.positive(field, Limits.SEQUENCE, Limits.SEQUENCE);
    }

    /** The same rotary embeddings in all layers. */
    IntFunction<Optional<Rope>> turning(Rope.Defaults defaults) {
        return turning(config, defaults);
    }

    /** The same, by options that a family has rewritten. */
    IntFunction<Optional<Rope>> turning(JsonDocument rewritten, Rope.Defaults defaults) {
        // not before a layer asks: a family may have other options, or none
        List<Rope> made = new ArrayList<>();
        return index -> {
            if (made.isEmpty()) {
                made.add(Rope.of(rewritten, queries.width(), defaults));
            }
            return Optional.of(made.getFirst());
        };
    }

    /** Whether layers see a window: as {@code layer_types} says, or, without it, as the family's default does. */
    List<Boolean> windowed(IntFunction<Boolean> otherwise) {
        JsonNode types = config.json().path("layer_types");
        List<Boolean> windowed = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            windowed.add(types.has(i) ? isWindow(types.get(i).asText()) : otherwise.apply(i));
        }
        return windowed;
    }

    private boolean isWindow(String type) {
        if (!type.equals("sliding_attention") && !type.equals("full_attention")) {
            throw config.wrong("layer_types", "sliding_attention or full_attention for each layer");
        }
        return type.equals("sliding_attention");
    }

    /** The window {@code sliding_window} for the layers that have one; none if that is null. */
    void see(List<Boolean> windowed) {
        if (windowed.contains(true) && config.says("layer_types") && !config.has("sliding_window")) {
            throw config.wrong("sliding_window", "a window for the layers of type sliding_attention");
        }
        if (config.has("sliding_window")) {
            Optional<Integer> window = Optional.of(config.positive("sliding_window"));
            windows = windowed.stream()
                    .map(own -> own ? window : Optional.<Integer>empty())
                    .toList();
        }
    }

    /** Normalisations of queries and keys as Qwen 3 names them. */
    void normaliseQueriesAndKeys(Attention.Span span) {
        queryKeyNorms = Optional.of(new Attention.QueryKeyNorms(norm, "self_attn.q_norm", "self_attn.k_norm", span));
    }

    LinearLayer linear(String name, int out, int in, boolean biased) {
        return new LinearLayer(name, out, in, biased, transposed);
    }

    /** A gated network by the names of the draft. */
    FeedForward.Gated gated() {
        return gated(gate, up, down, inner);
    }

    /**
     * A gated network with the usual names.
     *
     * @param block what stands before them
     */
    FeedForward.Gated gated(String block, int width) {
        return gated(block + "gate_proj", block + "up_proj", block + "down_proj", width);
    }

    private FeedForward.Gated gated(String gateName, String upName, String downName, int width) {
        return new FeedForward.Gated(
                linear(gateName, width, hidden, biasedFeedForward),
                linear(upName, width, hidden, biasedFeedForward),
                linear(downName, hidden, width, biasedFeedForward),
                activation);
    }

    /** A network of two layers. */
    FeedForward plain() {
        return new FeedForward.Plain(
                linear(up, inner, hidden, biasedFeedForward),
                linear(down, hidden, inner, biasedFeedForward),
                activation);
    }

    private DecoderAttention attention(int index) {
        if (queries.count() % keys.count() != 0) {
            String field = config.either("num_key_value_heads", "num_kv_heads");
            throw config.wrong(field, "a divisor of the number of heads " + queries.count());
        }
        int out = queries.total() + 2 * keys.total();
        Projections parts = projections.size() == 3
                ? new Projections.Apart(
                        linear(projections.get(0), queries.total(), hidden, biasedProjections),
                        linear(projections.get(1), keys.total(), hidden, biasedProjections),
                        linear(projections.get(2), keys.total(), hidden, biasedProjections))
                : switch (layout) {
                    case JOINED ->
                        new Projections.Joined(
                                linear(projections.getFirst(), out, hidden, biasedProjections), queries, keys);
                    case GROUPED ->
                        new Projections.Grouped(
                                linear(projections.getFirst(), out, hidden, biasedProjections), queries, keys);
                };
        return new Attention(
                queries,
                keys,
                parts,
                linear(output, hidden, queries.total(), biasedOutput),
                queryKeyNorms,
                rope.apply(index),
                slopes,
                Optional.empty(),
                windows.get(index),
                scale.apply(index),
                scoreCap,
                sinks,
                attentionDropout);
    }

    /** The slopes of ALiBi (Press et al., arXiv 2108.12409) for the heads of queries, as transformers computes them. */
    FloatTensor alibi() {
        int count = queries.count();
        int power = Integer.highestOneBit(count);
        float[] slopes = new float[count];
        for (int i = 0; i < count; i++) {
            double base = Math.pow(2, -Math.pow(2, -(Math.log(power) / Math.log(2) - 3)));
            double between = Math.pow(2, -Math.pow(2, -(Math.log(2.0 * power) / Math.log(2) - 3)));
            slopes[i] = (float) (i < power ? Math.pow(base, i + 1) : Math.pow(between, 2 * (i - power) + 1));
        }
        return new FloatTensor(Shape.of(count), slopes);
    }

    IntFunction<DecoderAttention> attention = this::attention;

    DecoderSpec spec() {
        List<DecoderLayer> all = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            all.add(new DecoderLayer(
                    layerName + i + ".",
                    hidden,
                    norm,
                    attention.apply(i),
                    attentionNorms,
                    feedForward.apply(i),
                    feedForwardNorms,
                    parallel,
                    residualScale,
                    residualDropout));
        }
        return new DecoderSpec(
                tokens,
                hidden,
                norm,
                new TokenEmbedding(
                        words,
                        embeddingWidth,
                        embeddingScale,
                        positions,
                        projectionIn,
                        embeddingNorm,
                        embeddingDropout),
                all,
                projectionOut,
                finalNorm,
                prefix,
                new DecoderSpec.Logits(headName, tied, biasedHead, logitScale, logitCap),
                tokenClassifier,
                usualTargets,
                className,
                DecoderHead.of(model));
    }
}
