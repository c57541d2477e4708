package dev.adapt.formats.graph;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.JsonDocument;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.Stream;

/**
 * Llama (Touvron et al., arXiv 2302.13971 and 2307.09288) as transformers computes it, and what differs from it in few
 * options: Mistral (Jiang et al., arXiv 2310.06825) and Qwen2 (Yang et al., arXiv 2407.10671). Pre-norm decoder with
 * RMSNorm, rotary positions, grouped key and value heads, and a gated feed-forward network.
 *
 * @param hidden the width of token states; heads may be wider or narrower in sum
 * @param groups how many query heads share a key and value head
 * @param inner the width of the feed-forward network
 * @param windows for each layer how many tokens back, itself included, a token sees
 * @param biased the linear layers of a decoder layer that have a bias
 * @param tied whether the language modelling head is the table of words
 */
public record Llama(
        int hidden,
        Heads heads,
        int groups,
        int inner,
        Tokens sequences,
        Activation activation,
        double epsilon,
        Rope rope,
        List<Optional<Integer>> windows,
        List<String> biased,
        double attentionDropout,
        boolean tied,
        String classifierClass,
        DecoderOutput output)
        implements Architecture {
    private static final String WORDS = "embed_tokens";
    private static final String Q = "self_attn.q_proj";
    private static final String K = "self_attn.k_proj";
    private static final String V = "self_attn.v_proj";
    private static final String O = "self_attn.o_proj";
    private static final String GATE = "mlp.gate_proj";
    private static final String UP = "mlp.up_proj";
    private static final String DOWN = "mlp.down_proj";
    private static final List<String> ATTENTION = List.of(Q, K, V, O);
    private static final List<String> MLP = List.of(GATE, UP, DOWN);

    static Llama of(ModelConfig model) {
        JsonDocument config = model.document();
        int hidden = config.positive("hidden_size", Limits.WIDTH);
        int count = config.positive("num_attention_heads", Limits.HEADS);
        int shared = config.has("num_key_value_heads") ? config.positive("num_key_value_heads", Limits.HEADS) : count;
        if (count % shared != 0) {
            throw config.wrong("num_key_value_heads", "a divisor of num_attention_heads " + count);
        }
        Heads heads = config.has("head_dim")
                ? new Heads(count, config.positive("head_dim", Limits.HEAD_WIDTH))
                : Heads.of(config, "hidden_size", "num_attention_heads");
        String name = Map.of("llama", "Llama", "mistral", "Mistral", "qwen2", "Qwen2")
                .getOrDefault(model.modelType(), "Llama");
        return new Llama(
                hidden,
                heads,
                count / shared,
                config.positive("intermediate_size", Limits.WIDTH),
                new Tokens(
                        config.positive("vocab_size", Limits.ROWS),
                        config.positive("max_position_embeddings", Limits.SEQUENCE),
                        1),
                Activation.of(config, "hidden_act", "silu"),
                config.number("rms_norm_eps", 1e-6),
                Rope.of(config, heads.width()),
                windows(model),
                biased(model),
                config.number("attention_dropout", 0),
                config.flag("tie_word_embeddings", false),
                name + "ForSequenceClassification",
                DecoderOutput.of(model));
    }

    /** Mistral's window is every layer's; Qwen2's, if it is switched on, that of the layers its config says. */
    private static List<Optional<Integer>> windows(ModelConfig model) {
        JsonDocument config = model.document();
        int layers = config.positive("num_hidden_layers", Limits.LAYERS);
        boolean windowed = switch (model.modelType()) {
            case "mistral" -> config.has("sliding_window");
            case "qwen2" -> config.flag("use_sliding_window", false) && config.has("sliding_window");
            default -> false;
        };
        if (!windowed) {
            return Collections.nCopies(layers, Optional.empty());
        }
        Optional<Integer> window = Optional.of(config.positive("sliding_window"));
        JsonNode types = config.json().path("layer_types");
        int first = model.modelType().equals("qwen2") ? (int) config.number("max_window_layers", 28) : 0;
        List<Optional<Integer>> windows = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            boolean own = types.has(i) ? types.get(i).asText().equals("sliding_attention") : i >= first;
            windows.add(own ? window : Optional.empty());
        }
        return windows;
    }

    private static List<String> biased(ModelConfig model) {
        JsonDocument config = model.document();
        List<String> biased = new ArrayList<>();
        switch (model.modelType()) {
            case "llama" -> {
                biased.addAll(config.flag("attention_bias", false) ? ATTENTION : List.of());
                biased.addAll(config.flag("mlp_bias", false) ? MLP : List.of());
            }
            case "qwen2" -> biased.addAll(ATTENTION.subList(0, 3));
            default -> {}
        }
        return biased;
    }

    @Override
    public List<InputSpec> inputs() {
        return List.of(InputSpec.IDS, InputSpec.MASK);
    }

    @Override
    public Optional<Tokens> tokens() {
        return Optional.of(sequences);
    }

    @Override
    public Optional<CacheSpec> cache() {
        return output.cache(new CacheSpec(windows.size(), heads.count() / groups, heads.width()));
    }

    @Override
    public List<String> usualTargets() {
        return List.of("q_proj", "v_proj");
    }

    @Override
    public List<String> linearModules() {
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < windows.size(); i++) {
            for (String part : ATTENTION) {
                modules.add("layers." + i + "." + part);
            }
            for (String part : MLP) {
                modules.add("layers." + i + "." + part);
            }
        }
        return modules;
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        Tensors tensors = new Tensors().matrix(WORDS, sequences.vocabulary(), hidden);
        for (int i = 0; i < windows.size(); i++) {
            String layer = "layers." + i + ".";
            tensors.add(layer + "input_layernorm.weight", hidden)
                    .add(layer + "post_attention_layernorm.weight", hidden);
            for (String part : Stream.concat(ATTENTION.stream(), MLP.stream()).toList()) {
                tensors.matrix(layer + part, out(part), in(part));
                if (biased.contains(part)) {
                    tensors.add(layer + part + ".bias", out(part));
                }
            }
        }
        tensors.add("norm.weight", hidden);
        return output.tensors(tensors, tied, sequences.vocabulary(), hidden).shapes();
    }

    private int out(String part) {
        return switch (part) {
            case Q -> heads.count() * heads.width();
            case K, V -> heads.count() / groups * heads.width();
            case GATE, UP -> inner;
            default -> hidden;
        };
    }

    private int in(String part) {
        return switch (part) {
            case O -> heads.count() * heads.width();
            case DOWN -> inner;
            default -> hidden;
        };
    }

    @Override
    public String prefix() {
        return "model.";
    }

    @Override
    public Optional<Head> head() {
        return output.head();
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        return new Tensors().matrix(Head.SCORE, own.labels().size(), hidden).shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.LAST;
    }

    @Override
    public Optional<String> wordTable() {
        return Optional.of(WORDS);
    }

    @Override
    public Optional<String> tiedHead() {
        return tied && output.language() ? Optional.of(DecoderOutput.LM_HEAD) : Optional.empty();
    }

    @Override
    public String outputName() {
        return output.name();
    }

    @Override
    public List<String> outputAxes() {
        return output.axes(sequences.vocabulary(), hidden);
    }

    /** The cosines and sines of all layers, and the attention biases by window. */
    private record Context<T>(T cos, T sin, Map<Optional<Integer>, T> biases) {}

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        Ops<T> ops = model.ops();
        Causal<T> causal = Causal.of(model, inputs);
        T states = model.embedding(causal.ids(), WORDS);
        T angles = ops.angles(causal.positions(), rope.frequencies());
        Map<Optional<Integer>, T> biases = new LinkedHashMap<>();
        for (Optional<Integer> window : windows) {
            biases.computeIfAbsent(window, own -> own.map(causal::bias).orElseGet(causal::bias));
        }
        Context<T> context = new Context<>(turn(ops, ops.cos(angles)), turn(ops, ops.sin(angles)), biases);
        for (int i = 0; i < windows.size(); i++) {
            states = layer(model, states, context, i);
        }
        states = model.rmsNorm(states, "norm", epsilon);
        return output.apply(model, states, causal.mask(), tied ? WORDS : DecoderOutput.LM_HEAD);
    }

    /** [batch, sequence, width/2] to [batch, 1, sequence, width/2]. */
    private <T> T turn(Ops<T> ops, T cosOrSin) {
        T scaled = rope.scale() == 1 ? cosOrSin : ops.affine(cosOrSin, rope.scale(), 0);
        return ops.reshape(scaled, 0, 1, -1, heads.width() / 2);
    }

    private <T> T layer(Layers<T> model, T states, Context<T> context, int index) {
        Ops<T> ops = model.ops();
        String name = "layers." + index;
        T normed = model.rmsNorm(states, name + ".input_layernorm", epsilon);
        T middle = ops.add(states, attention(model, normed, context, index));
        T wide = model.rmsNorm(middle, name + ".post_attention_layernorm", epsilon);
        Layers<T>.Beside beside = model.beside(wide);
        T gate = ops.activation(beside.linear(name + "." + GATE), activation);
        T product = ops.mul(gate, beside.linear(name + "." + UP));
        return ops.add(middle, model.linear(product, name + "." + DOWN));
    }

    private <T> T attention(Layers<T> model, T x, Context<T> context, int index) {
        Ops<T> ops = model.ops();
        String name = "layers." + index + ".";
        Heads shared = new Heads(heads.count() / groups, heads.width());
        Layers<T>.Beside beside = model.beside(x);
        T query = heads.split(ops, beside.linear(name + Q));
        T key = shared.split(ops, beside.linear(name + K));
        T value = shared.split(ops, beside.linear(name + V));
        query = ops.rotary(query, context.cos(), context.sin(), heads.width());
        key = ops.rotary(key, context.cos(), context.sin(), heads.width());
        T attended = ops.attention(
                query,
                repeated(ops, model.cached(index + ".key", key)),
                repeated(ops, model.cached(index + ".value", value)),
                Optional.ofNullable(context.biases().get(windows.get(index))),
                heads.scale(),
                attentionDropout);
        return model.linear(heads.join(ops, attended), name + O);
    }

    /** Each key or value head as often as query heads share it: [batch, heads/groups, ..] to [batch, heads, ..]. */
    private <T> T repeated(Ops<T> ops, T shared) {
        if (groups == 1) {
            return shared;
        }
        T apart = ops.reshape(shared, 0, 0, 1, -1, heads.width());
        return ops.reshape(ops.concat(2, Collections.nCopies(groups, apart)), 0, heads.count(), -1, heads.width());
    }
}
