package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.attention.Attention;
import dev.adapt.formats.layer.attention.Rope;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/** Phi-1, 1.5 and 2 (arXiv 2306.11644, 2309.05463), and Phi-3 and 4 (arXiv 2404.14219, 2412.08905). */
final class PhiFamily {
    private PhiFamily() {}

    static DecoderDraft phi(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Phi");
        JsonDocument config = draft.config;
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_eps", 1e-5));
        draft.activation = Activation.of(config, "hidden_act", "gelu_new");
        draft.parallel = true;
        draft.feedForwardNorms = draft.attentionNorms;
        draft.finalNorm = Optional.of("final_layernorm");
        draft.biasedProjections = true;
        draft.biasedOutput = true;
        draft.biasedFeedForward = true;
        draft.biasedHead = true;
        draft.output = "self_attn.dense";
        draft.up = "mlp.fc1";
        draft.down = "mlp.fc2";
        draft.feedForward = index -> draft.plain();
        draft.rope = draft.turning(Rope.Defaults.part(0.5, false));
        if (config.flag("qk_layernorm", false)) {
            draft.queryKeyNorms = Optional.of(new Attention.QueryKeyNorms(
                    draft.norm, "self_attn.q_layernorm", "self_attn.k_layernorm", Attention.Span.HEAD));
        }
        draft.embeddingDropout = config.number("embd_pdrop", 0);
        draft.residualDropout = config.number("resid_pdrop", 0);
        return draft;
    }

    static DecoderDraft phi3(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Phi3");
        draft.norm = new Norm(Norm.Kind.RMS, draft.config.number("rms_norm_eps", 1e-5));
        JsonDocument config = Rope.withType(draft.config, List.of("su", "yarn"), "longrope");
        draft.rope = draft.turning(config, Rope.Defaults.part(1, false));
        draft.projections = List.of("self_attn.qkv_proj");
        draft.usualTargets = List.of("qkv_proj");
        LlamaFamily.joinGateAndUp(draft);
        draft.see(Collections.nCopies(draft.layers, true));
        draft.residualDropout = draft.config.number("resid_pdrop", 0);
        return draft;
    }
}
