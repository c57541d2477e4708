package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.attention.Attention;
import dev.adapt.formats.layer.attention.Rope;
import java.util.List;
import java.util.Optional;

/** Gemma (arXiv 2403.08295), Gemma 2 (arXiv 2408.00118) and the language model of Gemma 3 (arXiv 2503.19786). */
final class GemmaFamily {
    private GemmaFamily() {}

    /** @param activation the field that transformers reads */
    private static DecoderDraft draft(ModelConfig model, String className, String activation) {
        DecoderDraft draft = new DecoderDraft(model, className);
        draft.config.refuse("use_bidirectional_attention");
        draft.norm = new Norm(Norm.Kind.RMS_PLUS_ONE, draft.config.number("rms_norm_eps", 1e-6));
        draft.biasedProjections = draft.config.flag("attention_bias", false);
        draft.biasedOutput = draft.biasedProjections;
        draft.embeddingScale = (float) Math.sqrt(draft.hidden);
        draft.tied = draft.config.flag("tie_word_embeddings", true);
        draft.activation = Activation.of(draft.config, activation, "gelu_pytorch_tanh");
        return draft;
    }

    static DecoderDraft gemma(ModelConfig model) {
        // old configs say gelu here and meant its tanh approximation; transformers 5 computes gelu
        return draft(model, "Gemma", "hidden_act");
    }

    static DecoderDraft gemma2(ModelConfig model) {
        DecoderDraft draft = draft(model, "Gemma2", "hidden_activation");
        second(draft);
        draft.scoreCap = cap(draft.config, "attn_logit_softcapping", Optional.of(50.0));
        draft.logitCap = cap(draft.config, "final_logit_softcapping", Optional.of(30.0));
        draft.see(draft.windowed(index -> index % 2 == 0));
        return draft;
    }

    private static void second(DecoderDraft draft) {
        JsonDocument config = draft.config;
        draft.attentionNorms = DecoderLayer.Branch.around("input_layernorm", "post_attention_layernorm");
        draft.feedForwardNorms = DecoderLayer.Branch.around("pre_feedforward_layernorm", "post_feedforward_layernorm");
        double scale = 1 / Math.sqrt(config.number("query_pre_attn_scalar", 256));
        draft.scale = index -> scale;
    }

    /** The cap of a field that may be missing; null means no cap. */
    private static Optional<Double> cap(JsonDocument config, String field, Optional<Double> missing) {
        if (!config.json().has(field)) {
            return missing;
        }
        if (!config.has(field)) {
            return Optional.empty();
        }
        double cap = config.number(field, 0);
        if (!(cap > 0)) {
            throw config.wrong(field, "a positive number");
        }
        return Optional.of(cap);
    }

    static DecoderDraft gemma3(ModelConfig model) {
        DecoderDraft draft = draft(model, "Gemma3", "hidden_activation");
        second(draft);
        // transformers ignores attn_logit_softcapping here, and final_logit_softcapping in the vision-language class
        draft.logitCap = model.className().endsWith("ForConditionalGeneration")
                ? Optional.empty()
                : cap(draft.config, "final_logit_softcapping", Optional.empty());
        draft.normaliseQueriesAndKeys(Attention.Span.HEAD);
        int pattern = draft.config.integer(
                draft.config.either("sliding_window_pattern", "_sliding_window_pattern"), 6, 1, Limits.LAYERS);
        List<Boolean> windowed = draft.windowed(index -> (index + 1) % pattern != 0);
        draft.see(windowed);
        int width = draft.queries.width();
        Rope far = Rope.of(draft.config, "full_attention", true, width, Rope.Defaults.whole(1_000_000, false));
        Rope near = Rope.of(
                draft.config,
                "sliding_attention",
                false,
                width,
                Rope.Defaults.LLAMA.baseIn("rope_local_base_freq", 10_000));
        draft.rope = index -> Optional.of(windowed.get(index) ? near : far);
        return draft;
    }
}
