package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.TokenEmbedding;
import java.util.List;
import java.util.Optional;

/** OPT (Zhang et al., arXiv 2205.01068). */
final class OptFamily {
    /** The rows of its table of positions before that of the first token. */
    private static final int OFFSET = 2;

    private OptFamily() {}

    static DecoderDraft opt(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "OPT");
        JsonDocument config = draft.config;
        if (!config.flag("layer_norm_elementwise_affine", true)) {
            throw config.wrong("layer_norm_elementwise_affine", "true: norms without weights are not supported");
        }
        draft.norm = new Norm(Norm.Kind.LAYER, 1e-5);
        draft.activation = Activation.of(config, "activation_function", "relu");
        draft.inner = config.positive("ffn_dim", Limits.WIDTH);
        draft.words = "decoder.embed_tokens";
        draft.layerName = "decoder.layers.";
        draft.output = "self_attn.out_proj";
        draft.up = "fc1";
        draft.down = "fc2";
        boolean biased = config.flag("enable_bias", true);
        draft.biasedProjections = biased;
        draft.biasedOutput = biased;
        draft.biasedFeedForward = biased;
        draft.feedForward = index -> draft.plain();
        draft.rope = index -> Optional.empty();
        draft.tied = config.flag("tie_word_embeddings", true);
        draft.residualDropout = config.number("dropout", 0.1);
        int rows = config.positive("max_position_embeddings", Limits.ROWS) + OFFSET;
        draft.positions = Optional.of(new TokenEmbedding.Positions("decoder.embed_positions", rows, OFFSET, true));
        boolean first = config.flag("do_layer_norm_before", true);
        String ofAttention = "self_attn_layer_norm";
        String ofNetwork = "final_layer_norm";
        draft.attentionNorms = first ? DecoderLayer.Branch.before(ofAttention) : DecoderLayer.Branch.ofSum(ofAttention);
        draft.feedForwardNorms = first ? DecoderLayer.Branch.before(ofNetwork) : DecoderLayer.Branch.ofSum(ofNetwork);
        boolean last = first && !config.flag("_remove_final_layer_norm", false);
        draft.finalNorm = last ? Optional.of("decoder.final_layer_norm") : Optional.empty();
        draft.embeddingWidth = config.integer("word_embed_proj_dim", draft.hidden, 1, Limits.WIDTH);
        if (draft.embeddingWidth != draft.hidden) {
            draft.projectionIn =
                    Optional.of(new LinearLayer("decoder.project_in", draft.hidden, draft.embeddingWidth, false));
            draft.projectionOut =
                    Optional.of(new LinearLayer("decoder.project_out", draft.embeddingWidth, draft.hidden, false));
        }
        draft.usualTargets = List.of("q_proj", "v_proj");
        return draft;
    }
}
