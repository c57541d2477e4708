package dev.adapt.formats.graph;

import dev.adapt.formats.JsonDocument;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * GPT-2 (Radford et al., 2019) as transformers' {@code GPT2Model}, {@code GPT2LMHeadModel} and
 * {@code GPT2ForSequenceClassification} compute it. Its linear layers are Conv1D: stored [in, out].
 *
 * @param inner the width of the feed-forward network
 * @param scaled whether attention scores are divided by the root of a head's width
 * @param scaledByLayer whether those of layer i are divided by i + 1 too
 * @param tied whether the language modelling head is the table of words
 */
public record Gpt2(
        int layers,
        Heads heads,
        int inner,
        Tokens sequences,
        Activation activation,
        double epsilon,
        boolean scaled,
        boolean scaledByLayer,
        double embeddingDropout,
        double attentionDropout,
        double residualDropout,
        boolean tied,
        DecoderOutput output)
        implements Architecture {
    private static final String WORDS = "wte";

    static Gpt2 of(ModelConfig model) {
        JsonDocument config = model.document();
        if (config.says("add_cross_attention")) {
            throw config.wrong("add_cross_attention", "false: cross-attention is not supported");
        }
        Heads heads = Heads.of(config, "n_embd", "n_head");
        return new Gpt2(
                config.positive("n_layer", Limits.LAYERS),
                heads,
                config.has("n_inner") ? config.positive("n_inner", Limits.WIDTH) : 4 * heads.count() * heads.width(),
                new Tokens(config.positive("vocab_size", Limits.ROWS), config.positive("n_positions", Limits.ROWS), 1),
                Activation.of(config, "activation_function", "gelu_new"),
                config.number("layer_norm_epsilon", 1e-5),
                config.flag("scale_attn_weights", true),
                config.flag("scale_attn_by_inverse_layer_idx", false),
                config.number("embd_pdrop", 0.1),
                config.number("attn_pdrop", 0.1),
                config.number("resid_pdrop", 0.1),
                config.flag("tie_word_embeddings", true),
                DecoderOutput.of(model));
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
    public int hidden() {
        return heads.count() * heads.width();
    }

    @Override
    public Optional<CacheSpec> cache() {
        return output.cache(new CacheSpec(layers, heads.count(), heads.width()));
    }

    @Override
    public List<String> usualTargets() {
        return List.of("c_attn");
    }

    @Override
    public List<String> linearModules() {
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            for (String part : List.of("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")) {
                modules.add("h." + i + "." + part);
            }
        }
        return modules;
    }

    @Override
    public boolean transposed(String module) {
        return module.startsWith("h.");
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        int hidden = hidden();
        Tensors tensors =
                new Tensors().matrix(WORDS, sequences.vocabulary(), hidden).matrix("wpe", sequences.longest(), hidden);
        for (int i = 0; i < layers; i++) {
            String layer = "h." + i + ".";
            tensors.layerNorm(layer + "ln_1", hidden)
                    .conv1d(layer + "attn.c_attn", 3L * hidden, hidden)
                    .conv1d(layer + "attn.c_proj", hidden, hidden)
                    .layerNorm(layer + "ln_2", hidden)
                    .conv1d(layer + "mlp.c_fc", inner, hidden)
                    .conv1d(layer + "mlp.c_proj", hidden, inner);
        }
        tensors.layerNorm("ln_f", hidden);
        return output.tensors(tensors, tied, sequences.vocabulary(), hidden).shapes();
    }

    @Override
    public String prefix() {
        return "transformer.";
    }

    @Override
    public Optional<Head> head() {
        return output.head();
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        return new Tensors().matrix(Head.SCORE, own.labels().size(), hidden()).shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.LAST;
    }

    @Override
    public String classifierClass() {
        return "GPT2ForSequenceClassification";
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
        return output.axes(sequences.vocabulary(), hidden());
    }

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        Ops<T> ops = model.ops();
        Causal<T> causal = Causal.of(model, inputs);
        T words = model.embedding(causal.ids(), WORDS);
        T states = ops.dropout(ops.add(words, model.embedding(causal.positions(), "wpe")), embeddingDropout);
        T bias = causal.bias();
        for (int i = 0; i < layers; i++) {
            states = layer(model, states, bias, i);
        }
        states = model.layerNorm(states, "ln_f", epsilon);
        return output.apply(model, states, causal.mask(), tied ? WORDS : DecoderOutput.LM_HEAD);
    }

    private <T> T layer(Layers<T> model, T states, T bias, int index) {
        Ops<T> ops = model.ops();
        String name = "h." + index;
        T attended = attention(model, model.layerNorm(states, name + ".ln_1", epsilon), bias, index);
        T middle = ops.add(states, ops.dropout(attended, residualDropout));
        T normed = model.layerNorm(middle, name + ".ln_2", epsilon);
        T wide = ops.activation(model.conv1d(normed, name + ".mlp.c_fc"), activation);
        return ops.add(middle, ops.dropout(model.conv1d(wide, name + ".mlp.c_proj"), residualDropout));
    }

    private <T> T attention(Layers<T> model, T x, T bias, int index) {
        Ops<T> ops = model.ops();
        String name = "h." + index + ".attn";
        T joint = model.conv1d(x, name + ".c_attn");
        T query = heads.split(ops, ops.slice(joint, 2, 0, hidden()));
        T key = heads.split(ops, ops.slice(joint, 2, hidden(), 2L * hidden()));
        T value = heads.split(ops, ops.slice(joint, 2, 2L * hidden(), 3L * hidden()));
        double scale = (scaled ? heads.scale() : 1) / (scaledByLayer ? index + 1 : 1);
        T context = ops.attention(
                query,
                model.cached(index + ".key", key),
                model.cached(index + ".value", value),
                Optional.of(bias),
                scale,
                attentionDropout);
        return model.conv1d(heads.join(ops, context), name + ".c_proj");
    }
}
