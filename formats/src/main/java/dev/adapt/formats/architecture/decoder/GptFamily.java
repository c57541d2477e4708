package dev.adapt.formats.architecture.decoder;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.TokenEmbedding;
import dev.adapt.formats.layer.attention.Heads;
import dev.adapt.formats.layer.attention.Rope;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** GPT-2 (Radford et al., 2019) and its descendants. */
final class GptFamily {
    private GptFamily() {}

    private static DecoderDraft draft(ModelConfig model, String className) {
        DecoderDraft draft = new DecoderDraft(model, className);
        JsonDocument config = draft.config;
        draft.config.refuse("add_cross_attention");
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_epsilon", 1e-5));
        draft.activation = Activation.of(config, "activation_function", "gelu_new");
        draft.words = "wte";
        draft.layerName = "h.";
        draft.prefix = "transformer.";
        draft.finalNorm = Optional.of("ln_f");
        draft.tokenClassifier = Head.MODULE;
        draft.attentionNorms = DecoderLayer.Branch.before("ln_1");
        draft.feedForwardNorms = DecoderLayer.Branch.before("ln_2");
        draft.rope = index -> Optional.empty();
        draft.tied = config.flag("tie_word_embeddings", true);
        draft.biasedFeedForward = true;
        draft.feedForward = index -> draft.plain();
        draft.embeddingDropout = config.number("embd_pdrop", 0.1);
        draft.attentionDropout = config.number("attn_pdrop", 0.1);
        draft.residualDropout = config.number("resid_pdrop", 0.1);
        return draft;
    }

    private static void learnPositions(DecoderDraft draft, String field) {
        int rows = draft.config.positive(field, Limits.ROWS);
        draft.tokens = new Tokens(draft.tokens.vocabulary(), rows, 1);
        draft.positions = Optional.of(new TokenEmbedding.Positions("wpe", rows, 0, false));
    }

    static DecoderDraft gpt2(ModelConfig model) {
        DecoderDraft draft = draft(model, "GPT2");
        second(draft);
        draft.transposed = true;
        boolean byLayer = draft.config.flag("scale_attn_by_inverse_layer_idx", false);
        double scale = draft.config.flag("scale_attn_weights", true) ? draft.queries.scale() : 1;
        draft.scale = index -> byLayer ? scale / (index + 1) : scale;
        return draft;
    }

    private static void second(DecoderDraft draft) {
        learnPositions(draft, "n_positions");
        draft.inner = draft.config.positive("n_inner", Limits.WIDTH, 4 * draft.hidden);
        draft.projections = List.of("attn.c_attn");
        draft.output = "attn.c_proj";
        draft.up = "mlp.c_fc";
        draft.down = "mlp.c_proj";
        draft.biasedProjections = true;
        draft.biasedOutput = true;
        draft.usualTargets = List.of("c_attn");
    }

    /** SantaCoder and StarCoder (arXiv 2301.03988, 2305.06161): all heads share one key and value. */
    static DecoderDraft bigCode(ModelConfig model) {
        DecoderDraft draft = draft(model, "GPTBigCode");
        second(draft);
        draft.activation = Activation.of(draft.config, "activation_function", "gelu_pytorch_tanh");
        boolean one = draft.config.flag("multi_query", true);
        draft.keys = new Heads(one ? 1 : draft.queries.count(), draft.queries.width());
        draft.layout = one ? DecoderDraft.Layout.JOINED : DecoderDraft.Layout.GROUPED;
        double scale = draft.config.flag("scale_attn_weights", true) ? draft.queries.scale() : 1;
        draft.scale = index -> scale;
        return draft;
    }

    /** GPT-J (Wang and Komatsuzaki, 2021): parallel, and heads turn in part. */
    static DecoderDraft gptj(ModelConfig model) {
        DecoderDraft draft = draft(model, "GPTJ");
        JsonDocument config = draft.config;
        draft.inner = config.positive("n_inner", Limits.WIDTH, 4 * draft.hidden);
        draft.parallel = true;
        draft.feedForwardNorms = draft.attentionNorms;
        draft.projections = List.of("attn.q_proj", "attn.k_proj", "attn.v_proj");
        draft.output = "attn.out_proj";
        draft.up = "mlp.fc_in";
        draft.down = "mlp.fc_out";
        int usual = config.json().has("rotary_dim") ? draft.queries.width() : 64;
        int width = config.positive("rotary_dim", draft.queries.width(), usual);
        if (width > draft.queries.width()) {
            throw config.wrong("rotary_dim", "a number of at most " + draft.queries.width() + " (without it, 64)");
        }
        if (width % 2 != 0) {
            throw config.wrong("rotary_dim", "an even number");
        }
        Optional<Rope> rope = Optional.of(Rope.plain(10_000, width, true));
        draft.rope = index -> rope;
        draft.tied = config.flag("tie_word_embeddings", false);
        draft.biasedHead = true;
        draft.tokenClassifier = Head.SCORE;
        draft.embeddingDropout = config.number("embd_pdrop", 0);
        draft.attentionDropout = config.number("attn_pdrop", 0);
        draft.residualDropout = config.number("resid_pdrop", 0);
        return draft;
    }

    /** GPT-Neo (Black et al., 2021): windows in turn, and scores that are not scaled. */
    static DecoderDraft neo(ModelConfig model) {
        DecoderDraft draft = draft(model, "GPTNeo");
        JsonDocument config = draft.config;
        learnPositions(draft, "max_position_embeddings");
        String block = "attn.attention.";
        draft.projections = List.of(block + "q_proj", block + "k_proj", block + "v_proj");
        draft.output = block + "out_proj";
        draft.biasedOutput = true;
        draft.up = "mlp.c_fc";
        draft.down = "mlp.c_proj";
        draft.scale = index -> 1.0;
        Optional<Integer> window = Optional.of(config.integer("window_size", 256, 1, Limits.SEQUENCE));
        draft.windows = kinds(draft).stream()
                .map(kind -> kind.equals("local") ? window : Optional.<Integer>empty())
                .toList();
        draft.embeddingDropout = config.number("embed_dropout", 0);
        draft.attentionDropout = config.number("attention_dropout", 0);
        draft.residualDropout = config.number("resid_dropout", 0);
        return draft;
    }

    /** The kind of each layer's attention, which the config gives as repeated lists of kinds. */
    private static List<String> kinds(DecoderDraft draft) {
        List<String> kinds = new ArrayList<>();
        for (JsonNode group : draft.config.json().path("attention_types")) {
            for (int i = 0; i < group.path(1).asInt() && kinds.size() < draft.layers; i++) {
                group.path(0).forEach(kind -> kinds.add(kind.asText()));
            }
        }
        if (kinds.size() != draft.layers || !List.of("global", "local").containsAll(kinds)) {
            throw draft.config.wrong("attention_types", "global or local for each of " + draft.layers + " layers");
        }
        return kinds;
    }

    /** GPT-NeoX (Black et al., arXiv 2204.06745) and Pythia. */
    static DecoderDraft neoX(ModelConfig model) {
        DecoderDraft draft = new DecoderDraft(model, "GPTNeoX");
        JsonDocument config = draft.config;
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_eps", 1e-5));
        draft.activation = Activation.of(config, "hidden_act", "gelu");
        draft.keys = draft.queries;
        draft.words = "embed_in";
        draft.prefix = "gpt_neox.";
        draft.headName = "embed_out";
        draft.tokenClassifier = Head.MODULE;
        draft.finalNorm = Optional.of("final_layer_norm");
        draft.parallel = config.flag("use_parallel_residual", true);
        draft.projections = List.of("attention.query_key_value");
        draft.layout = DecoderDraft.Layout.GROUPED;
        draft.output = "attention.dense";
        draft.biasedProjections = config.flag("attention_bias", true);
        draft.biasedOutput = draft.biasedProjections;
        draft.up = "mlp.dense_h_to_4h";
        draft.down = "mlp.dense_4h_to_h";
        draft.biasedFeedForward = true;
        draft.feedForward = index -> draft.plain();
        draft.rope = draft.turning(
                Rope.Defaults.part(0.25, false).partIn("rotary_pct").baseIn("rotary_emb_base", 10_000));
        draft.usualTargets = List.of("query_key_value");
        draft.embeddingDropout = config.number("hidden_dropout", 0);
        draft.residualDropout = config.number("hidden_dropout", 0);
        return draft;
    }
}
