package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.layer.attention.Attention;
import dev.adapt.formats.layer.attention.Rope;
import java.util.List;
import java.util.Optional;

/** Command R and Command R7B of Cohere: attention and feed-forward network read the same normalised states. */
final class CohereFamily {
    private CohereFamily() {}

    static DecoderDraft cohere(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Cohere");
        draft.norm = new Norm(Norm.Kind.LAYER_WITHOUT_BIAS, draft.config.number("layer_norm_eps", 1e-5));
        if (draft.config.flag("use_qk_norm", false)) {
            draft.normaliseQueriesAndKeys(Attention.Span.EACH_HEAD);
        }
        draft.biasedProjections = draft.config.flag("attention_bias", false);
        draft.biasedOutput = draft.biasedProjections;
        draft.parallel = true;
        draft.feedForwardNorms = draft.attentionNorms;
        draft.rope = draft.turning(Rope.Defaults.whole(500_000, true));
        draft.logitScale = draft.config.number("logit_scale", 0.0625);
        draft.tied = draft.config.flag("tie_word_embeddings", true);
        return draft;
    }

    /** Only the layers with a window have positions. */
    static DecoderDraft cohere2(ModelConfig model) {
        DecoderDraft draft = cohere(model);
        draft.className = "Cohere2";
        draft.rope = draft.turning(Rope.Defaults.whole(10_000, true));
        int pattern = draft.config.integer(
                draft.config.either("sliding_window_pattern", "_sliding_window_pattern"), 4, 1, Limits.LAYERS);
        List<Boolean> windowed = draft.windowed(index -> (index + 1) % pattern != 0);
        draft.see(windowed);
        var turning = draft.rope;
        draft.rope = index -> windowed.get(index) ? turning.apply(index) : Optional.empty();
        return draft;
    }
}
