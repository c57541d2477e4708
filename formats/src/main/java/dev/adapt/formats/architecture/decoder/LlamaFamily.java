package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.FeedForward;
import dev.adapt.formats.layer.attention.Attention;
import dev.adapt.formats.layer.attention.Rope;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;

/** Llama (Touvron et al., arXiv 2302.13971 and 2307.09288) and the models that differ from it in few options. */
final class LlamaFamily {
    private LlamaFamily() {}

    static DecoderDraft llama(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Llama");
        draft.biasedProjections = draft.config.flag("attention_bias", false);
        draft.biasedOutput = draft.biasedProjections;
        draft.biasedFeedForward = draft.config.flag("mlp_bias", false);
        return draft;
    }

    /** Jiang et al., arXiv 2310.06825. */
    static DecoderDraft mistral(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Mistral");
        draft.see(Collections.nCopies(draft.layers, true));
        return draft;
    }

    static DecoderDraft ministral(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Ministral");
        draft.see(draft.windowed(index -> true));
        return draft;
    }

    /** Yang et al., arXiv 2407.10671. */
    static DecoderDraft qwen2(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Qwen2");
        draft.biasedProjections = true;
        seeFromLayer(draft);
        return draft;
    }

    /** The text model of Qwen2-VL (Wang et al., arXiv 2409.12191): for texts alone its positions are Qwen2's. */
    static DecoderDraft qwen2VisionText(ModelConfig model) {
        DecoderDraft draft = qwen2(model);
        draft.className = "Qwen2VL";
        draft.rope = draft.turning(
                Rope.withType(draft.config, List.of("mrope"), "default"), Rope.Defaults.whole(1_000_000, false));
        return draft;
    }

    /** Yang et al., arXiv 2505.09388. */
    static DecoderDraft qwen3(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Qwen3");
        draft.biasedProjections = draft.config.flag("attention_bias", false);
        draft.biasedOutput = draft.biasedProjections;
        draft.normaliseQueriesAndKeys(Attention.Span.HEAD);
        seeFromLayer(draft);
        return draft;
    }

    /** The window of the layers from {@code max_window_layers} on, if it is switched on. */
    static void seeFromLayer(DecoderDraft draft) {
        int first = (int) draft.config.number("max_window_layers", 28);
        boolean sliding = draft.config.flag("use_sliding_window", false) && draft.config.has("sliding_window");
        List<Boolean> windowed = draft.windowed(index -> sliding && index >= first);
        if (!sliding && windowed.contains(true)) {
            throw draft.config.wrong("layer_types", "no sliding_attention without use_sliding_window");
        }
        draft.see(windowed);
    }

    /** SmolLM3: some layers have no positions. */
    static DecoderDraft smollm3(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "SmolLM3");
        draft.biasedProjections = draft.config.flag("attention_bias", false);
        draft.biasedOutput = draft.biasedProjections;
        draft.biasedFeedForward = draft.config.flag("mlp_bias", false);
        draft.tied = draft.config.flag("tie_word_embeddings", true);
        var turning = draft.turning(Rope.Defaults.whole(2_000_000, false));
        int interval = draft.config.integer("no_rope_layer_interval", 4, 1, Limits.LAYERS);
        var kept = draft.config.json().path("no_rope_layers");
        IntPredicate turns = index -> kept.has(index) ? kept.get(index).asInt() != 0 : (index + 1) % interval != 0;
        draft.rope = index -> turns.test(index) ? turning.apply(index) : Optional.empty();
        boolean sliding = draft.config.flag("use_sliding_window", false) && draft.config.has("sliding_window");
        draft.see(draft.windowed(index -> sliding && !turns.test(index)));
        return draft;
    }

    /** Granite: multipliers everywhere. */
    static DecoderDraft granite(ModelConfig model) {
        DecoderDraft draft = llama(model);
        draft.className = "Granite";
        draft.embeddingScale = draft.config.number("embedding_multiplier", 1);
        draft.residualScale = draft.config.number("residual_multiplier", 1);
        double scale = draft.config.number("attention_multiplier", 1);
        draft.scale = index -> scale;
        draft.logitScale = 1 / draft.config.number("logits_scaling", 1);
        return draft;
    }

    /** OLMo 2 (arXiv 2501.00656): normalises what is added, and queries and keys of all heads together. */
    static DecoderDraft olmo2(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Olmo2");
        draft.norm = new Norm(Norm.Kind.RMS, draft.config.number("rms_norm_eps", 1e-5));
        draft.biasedProjections = draft.config.flag("attention_bias", false);
        draft.biasedOutput = draft.biasedProjections;
        draft.normaliseQueriesAndKeys(Attention.Span.ALL_HEADS);
        normaliseAfter(draft);
        return draft;
    }

    private static void normaliseAfter(DecoderDraft draft) {
        draft.attentionNorms = DecoderLayer.Branch.after("post_attention_layernorm");
        draft.feedForwardNorms = DecoderLayer.Branch.after("post_feedforward_layernorm");
    }

    /** EXAONE 4.0 (arXiv 2507.11407): in a model with windows, only the layers that have one have positions. */
    static DecoderDraft exaone4(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Exaone4");
        draft.norm = new Norm(Norm.Kind.RMS, draft.config.number("rms_norm_eps", 1e-5));
        draft.normaliseQueriesAndKeys(Attention.Span.HEAD);
        normaliseAfter(draft);
        int pattern = draft.config.integer("sliding_window_pattern", 4, 1, Limits.LAYERS);
        List<Boolean> windowed = draft.windowed(index -> (index + 1) % pattern != 0);
        draft.see(windowed);
        if (draft.config.has("sliding_window")) {
            var turning = draft.rope;
            draft.rope = index -> windowed.get(index) ? turning.apply(index) : Optional.empty();
        }
        return draft;
    }

    /** Starcoder 2 (Lozhkov et al., arXiv 2402.19173). */
    static DecoderDraft starcoder2(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Starcoder2");
        draft.norm = new Norm(Norm.Kind.LAYER, draft.config.number("norm_epsilon", 1e-5));
        draft.activation = Activation.of(draft.config, "hidden_act", "gelu_pytorch_tanh");
        boolean biased = draft.config.flag("use_bias", true);
        draft.biasedProjections = biased;
        draft.biasedOutput = biased;
        draft.biasedFeedForward = biased;
        draft.up = "mlp.c_fc";
        draft.down = "mlp.c_proj";
        draft.feedForward = index -> draft.plain();
        draft.see(Collections.nCopies(draft.layers, true));
        draft.tied = draft.config.flag("tie_word_embeddings", true);
        draft.embeddingDropout = draft.config.number("embedding_dropout", 0);
        draft.residualDropout = draft.config.number("residual_dropout", 0);
        return draft;
    }

    /** GLM-4: heads turn in part, and what is added is normalised too. */
    static DecoderDraft glm4(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Glm4");
        draft.norm = new Norm(Norm.Kind.RMS, draft.config.number("rms_norm_eps", 1.5625e-7));
        draft.biasedProjections = draft.config.flag("attention_bias", false);
        draft.attentionNorms = DecoderLayer.Branch.around("input_layernorm", "post_self_attn_layernorm");
        draft.feedForwardNorms = DecoderLayer.Branch.around("post_attention_layernorm", "post_mlp_layernorm");
        draft.rope = draft.turning(Rope.Defaults.part(0.5, true));
        joinGateAndUp(draft);
        return draft;
    }

    static void joinGateAndUp(DecoderDraft draft) {
        draft.feedForward = index -> new FeedForward.GatedTogether(
                draft.linear("mlp.gate_up_proj", 2 * draft.inner, draft.hidden, false),
                draft.linear("mlp.down_proj", draft.hidden, draft.inner, false),
                draft.activation);
    }
}
