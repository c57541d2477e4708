package dev.adapt.formats.architecture.decoder;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.ExpertStack;
import dev.adapt.formats.layer.Experts;
import dev.adapt.formats.layer.Router;
import dev.adapt.formats.layer.attention.Rope;
import java.util.Collections;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/** Mixtures of experts: Mixtral, Qwen3-MoE and gpt-oss. */
final class MixtureFamily {
    private static final String EXPERTS = "mlp.experts";

    /** The bound of gpt-oss's experts: transformers' class does not read the config's swiglu_limit. */
    private static final double LIMIT = 7;

    private MixtureFamily() {}

    /** Jiang et al., arXiv 2401.04088. */
    static DecoderDraft mixtral(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "Mixtral");
        draft.norm = new Norm(Norm.Kind.RMS, draft.config.number("rms_norm_eps", 1e-5));
        draft.rope = draft.turning(Rope.Defaults.whole(1_000_000, false));
        draft.see(Collections.nCopies(draft.layers, true));
        int count = experts(draft.config, "num_local_experts", 8);
        Router router = new Router(
                router(draft, "mlp.gate", count, false),
                chosen(draft.config, 2, count),
                Router.Scoring.SOFTMAX,
                true,
                Optional.empty(),
                1);
        draft.feedForward = index -> experts(draft, router, count, draft.inner);
        return draft;
    }

    /** Yang et al., arXiv 2505.09388: some layers are dense. */
    static DecoderDraft qwen3(ModelConfig model) {
        DecoderDraft draft = LlamaFamily.qwen3(model);
        draft.className = "Qwen3Moe";
        JsonDocument config = draft.config;
        draft.windows = Collections.nCopies(draft.layers, Optional.empty());
        if (config.flag("use_sliding_window", false)) {
            draft.see(Collections.nCopies(draft.layers, true));
        }
        int count = experts(config, "num_experts", 128);
        int width = config.integer("moe_intermediate_size", 768, 1, Limits.WIDTH);
        int step = config.integer("decoder_sparse_step", 1, 1, Limits.LAYERS);
        Set<Integer> dense = new TreeSet<>();
        config.json().path("mlp_only_layers").forEach(layer -> dense.add(layer.asInt()));
        Router router = new Router(
                router(draft, "mlp.gate", count, false),
                chosen(config, 8, count),
                Router.Scoring.SOFTMAX,
                config.flag("norm_topk_prob", false),
                Optional.empty(),
                1);
        draft.feedForward = index -> !dense.contains(index) && (index + 1) % step == 0
                ? experts(draft, router, count, width)
                : draft.gated();
        return draft;
    }

    /** arXiv 2508.10925: windows in turn, a sink for each head, stacked experts. */
    static DecoderDraft gptOss(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "GptOss");
        JsonDocument config = draft.config;
        draft.norm = new Norm(Norm.Kind.RMS, config.number("rms_norm_eps", 1e-5));
        draft.biasedProjections = config.flag("attention_bias", true);
        draft.biasedOutput = draft.biasedProjections;
        draft.rope = draft.turning(withRope(config), Rope.Defaults.whole(150_000, false));
        draft.see(draft.windowed(index -> index % 2 == 0));
        draft.sinks = Optional.of("self_attn.sinks");
        int count = experts(config, "num_local_experts", 128);
        Router router = new Router(
                router(draft, "mlp.router", count, true),
                chosen(config, 4, count),
                Router.Scoring.SOFTMAX_OF_CHOSEN,
                false,
                Optional.empty(),
                1);
        draft.feedForward = index -> new ExpertStack(router, EXPERTS, count, draft.hidden, draft.inner, LIMIT);
        return draft;
    }

    /** The config with the YaRN that transformers' GptOssConfig takes where it describes no rotary embeddings. */
    private static JsonDocument withRope(JsonDocument config) {
        if (config.has("rope_parameters") || config.says("rope_scaling")) {
            return config;
        }
        ObjectNode changed = config.json().deepCopy();
        changed.putObject("rope_parameters")
                .put("rope_type", "yarn")
                .put("factor", 32)
                .put("beta_fast", 32)
                .put("beta_slow", 1)
                .put("truncate", false)
                .put("original_max_position_embeddings", 4096);
        return new JsonDocument(config.path(), changed);
    }

    static LinearLayer router(DecoderDraft draft, String name, int count, boolean biased) {
        return new LinearLayer(name, count, draft.hidden, biased);
    }

    static int experts(JsonDocument config, String field, int otherwise) {
        return config.integer(field, otherwise, 1, Limits.EXPERTS);
    }

    static int chosen(JsonDocument config, int otherwise, int count) {
        return config.integer("num_experts_per_tok", otherwise, 1, count);
    }

    private static Experts experts(DecoderDraft draft, Router router, int count, int width) {
        return new Experts(router, EXPERTS, count, draft.gated("", width), Optional.empty());
    }
}
