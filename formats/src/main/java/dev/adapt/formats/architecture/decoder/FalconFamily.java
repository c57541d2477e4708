package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.attention.Heads;
import java.util.List;
import java.util.Optional;

/** Falcon (Almazrouei et al., arXiv 2311.16867) and BLOOM (arXiv 2211.05100), which share their names. */
final class FalconFamily {
    private FalconFamily() {}

    private static DecoderDraft draft(ModelConfig model, String className) {
        DecoderDraft draft = new DecoderDraft(model, className);
        draft.norm = new Norm(Norm.Kind.LAYER, draft.config.number("layer_norm_epsilon", 1e-5));
        draft.words = "word_embeddings";
        draft.layerName = "h.";
        draft.prefix = "transformer.";
        draft.finalNorm = Optional.of("ln_f");
        draft.tokenClassifier = Head.MODULE;
        draft.projections = List.of("self_attention.query_key_value");
        draft.layout = DecoderDraft.Layout.GROUPED;
        draft.output = "self_attention.dense";
        draft.up = "mlp.dense_h_to_4h";
        draft.down = "mlp.dense_4h_to_h";
        draft.feedForward = index -> draft.plain();
        draft.tied = draft.config.flag("tie_word_embeddings", true);
        draft.usualTargets = List.of("query_key_value");
        draft.residualDropout = draft.config.number("hidden_dropout", 0);
        return draft;
    }

    static DecoderDraft falcon(ModelConfig model) {
        DecoderDraft draft = draft(model, "Falcon");
        JsonDocument config = draft.config;
        draft.config.refuse("alibi");
        boolean grouped = config.flag("new_decoder_architecture", false);
        boolean one = config.flag("multi_query", true) && !grouped;
        int shared =
                grouped ? config.positive("num_kv_heads", Limits.HEADS, draft.queries.count()) : draft.queries.count();
        draft.keys = new Heads(one ? 1 : shared, draft.queries.width());
        draft.layout = one ? DecoderDraft.Layout.JOINED : DecoderDraft.Layout.GROUPED;
        draft.inner = config.positive("ffn_hidden_size", Limits.WIDTH, 4 * draft.hidden);
        draft.activation = Activation.of(config, "activation", "gelu");
        draft.biasedProjections = config.flag("bias", false);
        draft.biasedOutput = draft.biasedProjections;
        draft.biasedFeedForward = draft.biasedProjections;
        draft.parallel = grouped || config.flag("parallel_attn", true);
        int norms = config.integer("num_ln_in_parallel_attn", grouped ? 2 : 1, 1, 2);
        if (grouped && norms == 2) {
            draft.attentionNorms = DecoderLayer.Branch.before("ln_attn");
            draft.feedForwardNorms = DecoderLayer.Branch.before("ln_mlp");
        } else if (draft.parallel) {
            draft.feedForwardNorms = draft.attentionNorms;
        }
        return draft;
    }

    static DecoderDraft bloom(ModelConfig model) {
        DecoderDraft draft = draft(model, "Bloom");
        draft.config.refuse("apply_residual_connection_post_layernorm");
        // transformers then leaves the biases of two layers out
        if (draft.config.integer("pretraining_tp", 1, 1, Limits.WIDTH) > 1) {
            draft.config.refuse("slow_but_exact");
        }
        draft.keys = draft.queries;
        draft.inner = 4 * draft.hidden;
        draft.activation = Activation.GELU_TANH;
        draft.embeddingNorm = Optional.of("word_embeddings_layernorm");
        draft.biasedProjections = true;
        draft.biasedOutput = true;
        draft.biasedFeedForward = true;
        draft.rope = index -> Optional.empty();
        draft.slopes = Optional.of(draft.alibi());
        return draft;
    }
}
