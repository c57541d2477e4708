package dev.adapt.formats.graph;

import dev.adapt.formats.io.JsonDocument;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The body that BERT and RoBERTa share: a post-norm transformer encoder under summed embeddings of words, positions and
 * token types.
 *
 * @param inner the width of the feed-forward network
 * @param positions rows of the table of positions
 * @param dropout on embeddings and on what each sublayer adds, while training
 * @param attentionDropout on the attention weights, while training
 * @param headDropout on what the head reads, while training
 */
record BertEncoder(
        int layers,
        Heads heads,
        int inner,
        int vocabulary,
        int positions,
        int types,
        Activation activation,
        double epsilon,
        double dropout,
        double attentionDropout,
        double headDropout) {
    static BertEncoder of(JsonDocument config) {
        String kind = config.string("position_embedding_type").orElse("absolute");
        if (!kind.equals("absolute")) {
            throw config.wrong("position_embedding_type", "\"absolute\", the only kind supported");
        }
        for (String option : List.of("is_decoder", "add_cross_attention")) {
            if (config.says(option)) {
                throw config.wrong(option, "false: an encoder as a decoder is not supported");
            }
        }
        double dropout = config.number("hidden_dropout_prob", 0.1);
        return new BertEncoder(
                config.positive("num_hidden_layers", Limits.LAYERS),
                Heads.of(config, "hidden_size", "num_attention_heads"),
                config.positive("intermediate_size", Limits.WIDTH),
                config.positive("vocab_size", Limits.ROWS),
                config.positive("max_position_embeddings", Limits.ROWS),
                config.has("type_vocab_size") ? config.positive("type_vocab_size", Limits.ROWS) : 2,
                Activation.of(config, "hidden_act", "gelu"),
                config.number("layer_norm_eps", 1e-12),
                dropout,
                config.number("attention_probs_dropout_prob", 0.1),
                config.number("classifier_dropout", dropout));
    }

    int hidden() {
        return heads.count() * heads.width();
    }

    List<String> linearModules() {
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            for (String part : List.of(
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "intermediate.dense",
                    "output.dense")) {
                modules.add("encoder.layer." + i + "." + part);
            }
        }
        return modules;
    }

    /** The tensors of the body, without the pooler. */
    Tensors tensors() {
        int hidden = hidden();
        Tensors tensors = new Tensors()
                .matrix("embeddings.word_embeddings", vocabulary, hidden)
                .matrix("embeddings.position_embeddings", positions, hidden)
                .matrix("embeddings.token_type_embeddings", types, hidden)
                .layerNorm("embeddings.LayerNorm", hidden);
        for (int i = 0; i < layers; i++) {
            String layer = "encoder.layer." + i + ".";
            tensors.linear(layer + "attention.self.query", hidden, hidden)
                    .linear(layer + "attention.self.key", hidden, hidden)
                    .linear(layer + "attention.self.value", hidden, hidden)
                    .linear(layer + "attention.output.dense", hidden, hidden)
                    .layerNorm(layer + "attention.output.LayerNorm", hidden)
                    .linear(layer + "intermediate.dense", inner, hidden)
                    .linear(layer + "output.dense", hidden, inner)
                    .layerNorm(layer + "output.LayerNorm", hidden);
        }
        return tensors;
    }

    /**
     * The token states [batch, sequence, hidden].
     *
     * @param places positions, [batch or 1, sequence]
     * @param kinds embedded token types, broadcast to [batch, sequence, hidden]
     * @param mask integers [batch, sequence]
     */
    <T> T forward(Layers<T> model, T ids, T places, T kinds, T mask) {
        Ops<T> ops = model.ops();
        T words = model.embedding(ids, "embeddings.word_embeddings");
        T located = model.embedding(places, "embeddings.position_embeddings");
        T sum = ops.add(ops.add(words, kinds), located);
        T states = ops.dropout(model.layerNorm(sum, "embeddings.LayerNorm", epsilon), dropout);
        T bias = ops.attentionBias(ops.reshape(mask, 0, 1, 1, -1));
        for (int i = 0; i < layers; i++) {
            String name = "encoder.layer." + i;
            states = ops.layer(states, x -> layer(model, x, bias, name));
        }
        return states;
    }

    private <T> T layer(Layers<T> model, T states, T bias, String name) {
        Ops<T> ops = model.ops();
        Beside<T> beside = model.beside(states);
        T context = ops.attention(
                heads.split(ops, beside.linear(name + ".attention.self.query")),
                heads.split(ops, beside.linear(name + ".attention.self.key")),
                heads.split(ops, beside.linear(name + ".attention.self.value")),
                Optional.of(bias),
                heads.scale(),
                attentionDropout);
        T attended = residual(model, heads.join(ops, context), states, name + ".attention.output");
        T middle = ops.activation(model.linear(attended, name + ".intermediate.dense"), activation);
        return residual(model, middle, attended, name + ".output");
    }

    private <T> T residual(Layers<T> model, T x, T skipped, String name) {
        Ops<T> ops = model.ops();
        T added = ops.add(ops.dropout(model.linear(x, name + ".dense"), dropout), skipped);
        return model.layerNorm(added, name + ".LayerNorm", epsilon);
    }
}
