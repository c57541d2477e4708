package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.Experts;
import dev.adapt.formats.layer.Router;
import dev.adapt.formats.layer.attention.DecoderAttention;
import dev.adapt.formats.layer.attention.Heads;
import dev.adapt.formats.layer.attention.LatentAttention;
import dev.adapt.formats.layer.attention.Rope;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** DeepSeek-V3 (arXiv 2412.19437): latent attention, and experts in groups after some dense layers. */
final class DeepSeekFamily {
    private DeepSeekFamily() {}

    static DecoderDraft deepSeek3(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "DeepseekV3");
        JsonDocument config = draft.config;
        DecoderAttention attention = attention(draft);
        draft.attention = index -> attention;
        int dense = config.integer("first_k_dense_replace", 3, 0, Limits.LAYERS);
        Experts experts = experts(draft);
        draft.feedForward = index -> index < dense ? draft.gated() : experts;
        draft.usualTargets = List.of("q_a_proj", "q_b_proj", "kv_b_proj");
        return draft;
    }

    private static LatentAttention attention(DecoderDraft draft) {
        JsonDocument config = draft.config;
        int heads = draft.queries.count();
        int still = config.positive("qk_nope_head_dim", Limits.HEAD_WIDTH);
        int turning = config.positive("qk_rope_head_dim", Limits.HEAD_WIDTH);
        int latent = config.positive("kv_lora_rank", Limits.WIDTH);
        Heads values = new Heads(heads, config.positive("v_head_dim", Limits.HEAD_WIDTH));
        boolean biased = config.flag("attention_bias", false);
        List<LinearLayer> queries = new ArrayList<>();
        int width = heads * (still + turning);
        if (config.has("q_lora_rank")) {
            int narrow = config.positive("q_lora_rank", Limits.WIDTH);
            queries.add(new LinearLayer("self_attn.q_a_proj", narrow, draft.hidden, biased));
            queries.add(new LinearLayer("self_attn.q_b_proj", width, narrow, false));
        } else {
            queries.add(new LinearLayer("self_attn.q_proj", width, draft.hidden, false));
        }
        boolean interleaved = config.flag("rope_interleave", true);
        return new LatentAttention(
                heads,
                still,
                values,
                queries,
                new LinearLayer("self_attn.kv_a_proj_with_mqa", latent + turning, draft.hidden, biased),
                new LinearLayer("self_attn.kv_b_proj", heads * (still + values.width()), latent, false),
                new LinearLayer("self_attn.o_proj", draft.hidden, values.total(), biased),
                // transformers' class leaves the config's epsilon out here
                new Norm(Norm.Kind.RMS, 1e-6),
                Rope.of(config, turning, Rope.Defaults.whole(10_000, interleaved)),
                Rope.sharpness(config) / Math.sqrt(still + turning),
                draft.attentionDropout);
    }

    private static Experts experts(DecoderDraft draft) {
        JsonDocument config = draft.config;
        int count = MixtureFamily.experts(config, "n_routed_experts", 256);
        int groups = config.integer("n_group", 8, 1, count);
        if (count % groups != 0 || count / groups < 2) {
            throw config.wrong("n_group", "groups of at least two of " + count + " experts");
        }
        int width = config.integer("moe_intermediate_size", 2048, 1, Limits.WIDTH);
        int shared = config.integer("n_shared_experts", 1, 0, Limits.EXPERTS);
        int kept = config.integer("topk_group", 4, 1, groups);
        Router router = new Router(
                MixtureFamily.router(draft, "mlp.gate", count, false),
                MixtureFamily.chosen(config, 8, kept * (count / groups)),
                Router.Scoring.SIGMOID,
                config.flag("norm_topk_prob", true),
                Optional.of(new Router.Groups("mlp.gate.e_score_correction_bias", groups, kept)),
                config.number("routed_scaling_factor", 2.5));
        return new Experts(
                router,
                "mlp.experts",
                count,
                draft.gated("", width),
                shared == 0
                        ? Optional.empty()
                        : Optional.of(draft.gated("mlp.shared_experts.", Math.multiplyExact(width, shared))));
    }
}
