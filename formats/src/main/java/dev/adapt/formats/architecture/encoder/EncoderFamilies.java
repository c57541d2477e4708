package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.FeedForward;
import dev.adapt.formats.layer.attention.DecoderAttention;
import dev.adapt.formats.layer.attention.DisentangledAttention;
import dev.adapt.formats.layer.attention.RelativeBias;
import dev.adapt.formats.layer.attention.Rope;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.Function;

/** The encoders of texts and of images by {@code model_type}; {@link VisionFamilies} has those of images. */
public final class EncoderFamilies {
    private static final SequencedMap<String, Function<ModelConfig, EncoderDraft>> FAMILIES = families();

    private EncoderFamilies() {}

    private static SequencedMap<String, Function<ModelConfig, EncoderDraft>> families() {
        SequencedMap<String, Function<ModelConfig, EncoderDraft>> families = new LinkedHashMap<>();
        families.put("bert", model -> bert(model, "Bert", "bert."));
        families.put("ernie", EncoderFamilies::ernie);
        families.put("electra", EncoderFamilies::electra);
        families.put("roberta", model -> roberta(model, "Roberta", "roberta."));
        families.put("xlm-roberta", model -> roberta(model, "XLMRoberta", "roberta."));
        families.put("camembert", model -> roberta(model, "Camembert", "roberta."));
        families.put("data2vec-text", model -> roberta(model, "Data2VecText", "data2vec_text."));
        families.put("distilbert", EncoderFamilies::distilBert);
        families.put("mpnet", EncoderFamilies::mpnet);
        families.put("albert", EncoderFamilies::albert);
        families.put("deberta-v2", EncoderFamilies::deberta);
        families.put("modernbert", EncoderFamilies::modernBert);
        families.put("nomic_bert", EncoderFamilies::nomicBert);
        VisionFamilies.addTo(families);
        return families;
    }

    /** The types that have a family. */
    public static List<String> types() {
        return List.copyOf(FAMILIES.keySet());
    }

    /** The encoder that a config describes, if it describes one. */
    public static Optional<Encoder> of(ModelConfig config) {
        return Optional.ofNullable(FAMILIES.get(config.modelType()))
                .map(family -> new Encoder(family.apply(config.complete()).spec()));
    }

    /** What BERT's descendants share: layers that normalise sums, under tables of words and positions. */
    private static EncoderDraft draft(ModelConfig model, String className, String prefix) {
        EncoderDraft draft = new EncoderDraft(model, className, prefix);
        JsonDocument config = draft.config;
        String kind = config.string("position_embedding_type").orElse("absolute");
        if (!kind.equals("absolute")) {
            throw config.wrong("position_embedding_type", "\"absolute\", the only kind supported");
        }
        config.refuse("add_cross_attention");
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_eps", 1e-12));
        draft.activation = Activation.of(config, "hidden_act", "gelu");
        draft.inner = config.positive("intermediate_size", Limits.WIDTH);
        if (config.says("is_decoder")) {
            draft.seen = EncoderInput.Words.Seen.EARLIER;
        }
        return draft;
    }

    private static void poolByTanh(EncoderDraft draft, String module) {
        draft.pooler =
                Optional.of(new EncoderHeads.Stage(draft.linear(module, draft.hidden, draft.hidden), Activation.TANH));
    }

    private static void tellWordsAsBert(EncoderDraft draft) {
        String block = "cls.predictions.";
        draft.tellWords(
                block + "transform.dense",
                draft.activation,
                block + "transform.LayerNorm",
                block + "decoder",
                block + "bias");
    }

    /** BERT (Devlin et al., arXiv 1810.04805). */
    private static EncoderDraft bert(ModelConfig model, String className, String prefix) {
        EncoderDraft draft = draft(model, className, prefix);
        draft.learnPositions(Optional.empty());
        draft.learnTypes(2, true);
        poolByTanh(draft, Tensors.POOLER);
        draft.pooling = Pooling.POOLER;
        tellWordsAsBert(draft);
        draft.next = Optional.of("cls.seq_relationship");
        return draft;
    }

    /** ERNIE 2 and 3 (arXiv 1907.12412): BERT, whose embeddings may also tell tasks apart. */
    private static EncoderDraft ernie(ModelConfig model) {
        EncoderDraft draft = bert(model, "Ernie", "ernie.");
        draft.config.refuse("use_task_id");
        return draft;
    }

    /** ELECTRA (Clark et al., arXiv 2003.10555): tables narrower than the states, and no pooler. */
    private static EncoderDraft electra(ModelConfig model) {
        EncoderDraft draft = draft(model, "Electra", "electra.");
        draft.width = draft.config.integer("embedding_size", 128, 1, Limits.WIDTH);
        draft.learnPositions(Optional.empty());
        draft.learnTypes(2, true);
        if (draft.width != draft.hidden) {
            draft.projection = Optional.of(draft.linear("embeddings_project", draft.hidden, draft.width));
        }
        classifyByDense(draft, Activation.GELU);
        draft.tellWords(
                "generator_predictions.dense",
                Activation.GELU,
                "generator_predictions.LayerNorm",
                "generator_lm_head",
                "generator_lm_head.bias");
        return draft;
    }

    private static void classifyByDense(EncoderDraft draft, Activation activation) {
        draft.beforeClasses = Optional.of(
                new EncoderHeads.Stage(draft.linear(Head.MODULE + ".dense", draft.hidden, draft.hidden), activation));
        draft.classes = Head.MODULE + ".out_proj";
    }

    private static void tellWordsAsRoberta(EncoderDraft draft) {
        draft.tellWords("lm_head.dense", Activation.GELU, "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias");
    }

    private static int padding(EncoderDraft draft, int otherwise) {
        int padding = draft.config.integer("pad_token_id", otherwise, 0, Limits.ROWS);
        if (padding + 1 >= draft.config.positive("max_position_embeddings", Limits.ROWS)) {
            throw draft.config.wrong("pad_token_id", "a token id below the last of max_position_embeddings");
        }
        return padding;
    }

    /**
     * RoBERTa (Liu et al., arXiv 1907.11692): positions count on from the padding's. Published models have one token type,
     * and exporters give them no input for it.
     */
    private static EncoderDraft roberta(ModelConfig model, String className, String prefix) {
        EncoderDraft draft = draft(model, className, prefix);
        draft.learnPositions(Optional.of(padding(draft, 1)));
        draft.learnTypes(2, draft.config.integer("type_vocab_size", 2, 0, Limits.ROWS) > 1);
        poolByTanh(draft, Tensors.POOLER);
        classifyByDense(draft, Activation.TANH);
        tellWordsAsRoberta(draft);
        return draft;
    }

    /** DistilBERT (Sanh et al., arXiv 1910.01108). */
    private static EncoderDraft distilBert(ModelConfig model) {
        EncoderDraft draft = new EncoderDraft(model, "DistilBert", "distilbert.");
        JsonDocument config = draft.config;
        draft.norm = new Norm(Norm.Kind.LAYER, 1e-12);
        draft.activation = Activation.of(config, "activation", "gelu");
        draft.inner = config.positive("hidden_dim", Limits.WIDTH);
        draft.learnPositions(Optional.empty());
        draft.layerName = index -> "transformer.layer." + index + ".";
        draft.projections = List.of("attention.q_lin", "attention.k_lin", "attention.v_lin");
        draft.output = "attention.out_lin";
        draft.up = "ffn.lin1";
        draft.down = "ffn.lin2";
        draft.attentionNorms = index -> DecoderLayer.Branch.ofSum("sa_layer_norm");
        draft.feedForwardNorms = DecoderLayer.Branch.ofSum("output_layer_norm");
        draft.usualTargets = List.of("q_lin", "v_lin");
        draft.beforeClasses = Optional.of(
                new EncoderHeads.Stage(draft.linear("pre_classifier", draft.hidden, draft.hidden), Activation.RELU));
        draft.headDropout = config.number("seq_classif_dropout", 0.2);
        draft.tellWords(
                "vocab_transform", draft.activation, "vocab_layer_norm", "vocab_projector", "vocab_projector.bias");
        return draft;
    }

    /** MPNet (Song et al., arXiv 2004.09297): biases by distance beside learned positions. */
    private static EncoderDraft mpnet(ModelConfig model) {
        EncoderDraft draft = draft(model, "MPNet", "mpnet.");
        // transformers' class ignores the config's pad_token_id
        draft.learnPositions(Optional.of(1));
        draft.projections = List.of("attention.attn.q", "attention.attn.k", "attention.attn.v");
        draft.output = "attention.attn.o";
        draft.attentionNorms = index -> DecoderLayer.Branch.ofSum("attention.LayerNorm");
        int buckets = draft.config.integer("relative_attention_num_buckets", 32, 4, Limits.ROWS);
        if (buckets != 32) {
            throw draft.config.wrong("relative_attention_num_buckets", "32, the number that transformers' class uses");
        }
        draft.relative = Optional.of(
                new RelativeBias("encoder.relative_attention_bias", draft.heads.count(), buckets, true, 128));
        draft.usualTargets = List.of("q", "v");
        poolByTanh(draft, Tensors.POOLER);
        classifyByDense(draft, Activation.TANH);
        tellWordsAsRoberta(draft);
        return draft;
    }

    /** ALBERT (Lan et al., arXiv 1909.11942): layers that share their weights, and narrow tables. */
    private static EncoderDraft albert(ModelConfig model) {
        EncoderDraft draft = draft(model, "Albert", "albert.");
        JsonDocument config = draft.config;
        int groups = config.integer("num_hidden_groups", 1, 1, draft.layers);
        if (config.integer("inner_group_num", 1, 1, Limits.LAYERS) != 1) {
            throw config.wrong("inner_group_num", "1: groups of several layers are not supported");
        }
        draft.layerName = index ->
                "encoder.albert_layer_groups." + (int) (index / (draft.layers / (double) groups)) + ".albert_layers.0.";
        draft.projections = List.of("attention.query", "attention.key", "attention.value");
        draft.output = "attention.dense";
        draft.attentionNorms = index -> DecoderLayer.Branch.ofSum("attention.LayerNorm");
        draft.activation = Activation.of(config, "hidden_act", "gelu_new");
        draft.up = "ffn";
        draft.down = "ffn_output";
        draft.feedForwardNorms = DecoderLayer.Branch.ofSum("full_layer_layer_norm");
        draft.width = config.integer("embedding_size", 128, 1, Limits.WIDTH);
        draft.projection = Optional.of(draft.linear("encoder.embedding_hidden_mapping_in", draft.hidden, draft.width));
        draft.learnPositions(Optional.empty());
        draft.learnTypes(2, true);
        draft.dropout = config.number("hidden_dropout_prob", 0);
        draft.attentionDropout = config.number("attention_probs_dropout_prob", 0);
        draft.headDropout = config.number("classifier_dropout_prob", 0.1);
        poolByTanh(draft, "pooler");
        draft.pooling = Pooling.POOLER;
        draft.tellWords(
                "predictions.dense",
                draft.activation,
                "predictions.LayerNorm",
                "predictions.decoder",
                "predictions.bias");
        return draft;
    }

    /** DeBERTa-v2 (He et al., arXiv 2006.03654) and v3 (arXiv 2111.09543). */
    private static EncoderDraft deberta(ModelConfig model) {
        EncoderDraft draft = draft(model, "DebertaV2", "deberta.");
        JsonDocument config = draft.config;
        if (!config.says("relative_attention")) {
            throw config.wrong("relative_attention", "true: DeBERTa without it is not supported");
        }
        if (config.integer("conv_kernel_size", 0, 0, Limits.WIDTH) > 0) {
            throw config.wrong("conv_kernel_size", "0: a convolution after the first layer is not supported");
        }
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_eps", 1e-7));
        draft.width = config.integer("embedding_size", draft.hidden, 1, Limits.WIDTH);
        if (draft.width != draft.hidden) {
            draft.projection = Optional.of(new LinearLayer("embeddings.embed_proj", draft.hidden, draft.width, false));
        }
        draft.normsProjected = true;
        draft.seen = EncoderInput.Words.Seen.KEPT_BY_KEPT;
        if (config.flag("position_biased_input", true)) {
            draft.learnPositions(Optional.empty());
        }
        draft.learnTypes(0, true);
        draft.attention = index -> disentangled(draft);
        draft.usualTargets = List.of("query_proj", "value_proj");
        Activation pooled = Activation.of(config, "pooler_hidden_act", "gelu");
        int width = config.integer("pooler_hidden_size", draft.hidden, 1, Limits.WIDTH);
        if (width != draft.hidden) {
            throw config.wrong("pooler_hidden_size", "hidden_size " + draft.hidden);
        }
        draft.pooler = Optional.of(new EncoderHeads.Stage(draft.linear(Tensors.POOLER, width, width), pooled));
        draft.poolerOfBody = false;
        draft.pooling = Pooling.POOLER;
        draft.headDropout = config.number("cls_dropout", draft.dropout);
        if (config.flag("legacy", true)) {
            tellWordsAsBert(draft);
        }
        return draft;
    }

    private static DecoderAttention disentangled(EncoderDraft draft) {
        JsonDocument config = draft.config;
        String block = "attention.self.";
        int hidden = draft.hidden;
        LinearLayer query = draft.linear(block + "query_proj", hidden, hidden);
        LinearLayer key = draft.linear(block + "key_proj", hidden, hidden);
        Set<String> kinds = Set.copyOf(kinds(config));
        boolean shared = config.says("share_att_key");
        int longest = config.integer("max_relative_positions", -1, -1, Limits.ROWS);
        if (longest < 1) {
            longest = config.positive("max_position_embeddings", Limits.ROWS);
        }
        int buckets = config.integer("position_buckets", -1, -1, Limits.ROWS);
        List<String> norms = List.of(config.string("norm_rel_ebd")
                .orElse("none")
                .toLowerCase(Locale.ROOT)
                .split("\\|"));
        return new DisentangledAttention(
                draft.heads,
                query,
                key,
                draft.linear(block + "value_proj", hidden, hidden),
                draft.linear(draft.output, hidden, hidden),
                kinds.contains("c2p")
                        ? Optional.of(shared ? key : draft.linear(block + "pos_key_proj", hidden, hidden))
                        : Optional.empty(),
                kinds.contains("p2c")
                        ? Optional.of(shared ? query : draft.linear(block + "pos_query_proj", hidden, hidden))
                        : Optional.empty(),
                new DisentangledAttention.Distances(
                        "encoder.rel_embeddings",
                        norms.contains("layer_norm") ? Optional.of("encoder.LayerNorm") : Optional.empty(),
                        draft.norm,
                        hidden,
                        buckets > 0 ? buckets : longest,
                        buckets > 0 ? Optional.of(buckets) : Optional.empty(),
                        longest),
                draft.attentionDropout);
    }

    private static List<String> kinds(JsonDocument config) {
        String field = "pos_att_type";
        List<String> kinds = new ArrayList<>();
        config.json().path(field).forEach(each -> kinds.add(each.asText()));
        config.string(field).ifPresent(text -> kinds.addAll(List.of(text.split("\\|"))));
        if (!List.of("c2p", "p2c").containsAll(kinds)) {
            throw config.wrong(field, "of c2p and p2c, the kinds supported");
        }
        return kinds;
    }

    /** ModernBERT (Warner et al., arXiv 2412.13663): turning heads, windows in turn, gated networks. */
    private static EncoderDraft modernBert(ModelConfig model) {
        EncoderDraft draft = new EncoderDraft(model, "ModernBert", "model.");
        JsonDocument config = draft.config;
        Norm.Kind kind = config.flag("norm_bias", false) ? Norm.Kind.LAYER : Norm.Kind.LAYER_WITHOUT_BIAS;
        draft.norm = new Norm(kind, config.number("norm_eps", 1e-5));
        draft.activation = Activation.of(config, "hidden_activation", "gelu");
        draft.inner = config.positive("intermediate_size", Limits.WIDTH);
        draft.words = "embeddings.tok_embeddings";
        draft.embeddingNorm = Optional.of("embeddings.norm");
        draft.layerName = index -> "layers." + index + ".";
        draft.projections = List.of("attn.Wqkv");
        draft.output = "attn.Wo";
        draft.biasedProjections = config.flag("attention_bias", false);
        draft.biasedOutput = draft.biasedProjections;
        // the embeddings are normalised already
        draft.attentionNorms = index -> index == 0 ? DecoderLayer.Branch.NONE : DecoderLayer.Branch.before("attn_norm");
        draft.feedForwardNorms = DecoderLayer.Branch.before("mlp_norm");
        boolean biased = config.flag("mlp_bias", false);
        draft.feedForward = () -> new FeedForward.GatedTogether(
                new LinearLayer("mlp.Wi", 2 * draft.inner, draft.hidden, biased),
                new LinearLayer("mlp.Wo", draft.hidden, draft.inner, biased),
                draft.activation);
        List<Boolean> windowed = windowed(draft);
        Optional<Integer> near = Optional.of(config.integer("local_attention", 128, 1, Limits.SEQUENCE) / 2);
        draft.window = index -> windowed.get(index) ? near : Optional.empty();
        Optional<Rope> all = Optional.of(turning(draft, "full_attention", "global_rope_theta", 160_000));
        Optional<Rope> local = Optional.of(turning(draft, "sliding_attention", "local_rope_theta", 10_000));
        draft.rope = index -> windowed.get(index) ? local : all;
        draft.finalNorm = Optional.of("final_norm");
        draft.usualTargets = List.of("Wqkv");
        draft.dropout = config.number("mlp_dropout", 0);
        draft.attentionDropout = config.number("attention_dropout", 0);
        headsOfModernBert(draft);
        return draft;
    }

    private static void headsOfModernBert(EncoderDraft draft) {
        JsonDocument config = draft.config;
        draft.beforeClasses = Optional.of(new EncoderHeads.Stage(
                new LinearLayer("head.dense", draft.hidden, draft.hidden, config.flag("classifier_bias", false)),
                Activation.of(config, "classifier_activation", "gelu"),
                Optional.of("head.norm")));
        draft.innerForTokens = true;
        draft.answers = Head.MODULE;
        draft.pooling = switch (config.string("classifier_pooling").orElse("cls")) {
            case "cls" -> Pooling.CLS;
            case "mean" -> Pooling.MEAN;
            default -> throw config.wrong("classifier_pooling", "cls or mean");
        };
        draft.headDropout = config.number("classifier_dropout", 0);
        boolean tied = config.flag("tie_word_embeddings", true);
        Optional<String> bias = config.flag("decoder_bias", true) ? Optional.of("decoder.bias") : Optional.empty();
        draft.maskedWords = Optional.of(new EncoderHeads.Words(draft.beforeClasses.get(), "decoder", tied, bias));
    }

    private static List<Boolean> windowed(EncoderDraft draft) {
        int every = draft.config.integer("global_attn_every_n_layers", 3, 1, Limits.LAYERS);
        List<Boolean> windowed = new ArrayList<>();
        for (int i = 0; i < draft.layers; i++) {
            String usual = i % every == 0 ? "full_attention" : "sliding_attention";
            String type = draft.config.json().path("layer_types").path(i).asText(usual);
            if (!type.equals("sliding_attention") && !type.equals("full_attention")) {
                throw draft.config.wrong("layer_types", "sliding_attention or full_attention for each layer");
            }
            windowed.add(type.equals("sliding_attention"));
        }
        return windowed;
    }

    private static Rope turning(EncoderDraft draft, String layerType, String field, double base) {
        Rope.Defaults defaults = Rope.Defaults.LLAMA.baseIn(field, base);
        return Rope.of(draft.config, layerType, true, draft.heads.width(), defaults);
    }

    /** Nomic's BERT (Nussbaum et al., arXiv 2402.01613): turning heads and gated networks. */
    private static EncoderDraft nomicBert(ModelConfig model) {
        EncoderDraft draft = new EncoderDraft(model, "NomicBert", "nomic_bert.");
        JsonDocument config = draft.config;
        for (String flag : List.of(
                "prenorm",
                "parallel_block",
                "use_rms_norm",
                "rotary_emb_interleaved",
                "rotary_scaling_factor",
                "qkv_proj_bias",
                "mlp_fc1_bias",
                "mlp_fc2_bias",
                "causal",
                "num_experts",
                "is_decoder")) {
            config.refuse(flag);
        }
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_eps", 1e-12));
        boolean swish = config.string("hidden_act").filter("swiglu"::equals).isPresent();
        draft.activation = swish ? Activation.SILU : Activation.of(config, "hidden_act", "silu");
        draft.inner = config.positive("intermediate_size", Limits.WIDTH);
        draft.embeddingNorm = Optional.of("emb_ln");
        draft.learnTypes(2, true);
        draft.layerName = index -> "encoder.layers." + index + ".";
        draft.projections = List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj");
        draft.biasedProjections = false;
        draft.output = "attn.out_proj";
        draft.biasedOutput = false;
        draft.attentionNorms = index -> DecoderLayer.Branch.ofSum("norm1");
        draft.feedForwardNorms = DecoderLayer.Branch.ofSum("norm2");
        draft.feedForward = () -> new FeedForward.Gated(
                new LinearLayer("mlp.fc12", draft.inner, draft.hidden, false),
                new LinearLayer("mlp.fc11", draft.inner, draft.hidden, false),
                new LinearLayer("mlp.fc2", draft.hidden, draft.inner, false),
                draft.activation);
        if (config.number("rotary_emb_fraction", 1) != 1) {
            throw config.wrong("rotary_emb_fraction", "1: transformers' class turns whole heads");
        }
        Optional<Rope> rope = Optional.of(Rope.of(config, draft.heads.width(), Rope.Defaults.whole(1000, false)));
        draft.rope = index -> rope;
        draft.usualTargets = List.of("q_proj", "v_proj");
        draft.dropout = config.number("hidden_dropout_prob", 0);
        draft.attentionDropout = config.number("attention_probs_dropout_prob", 0);
        draft.headDropout = config.number("classifier_dropout", draft.dropout);
        poolByTanh(draft, Tensors.POOLER);
        draft.pooling = Pooling.POOLER;
        tellWordsAsBert(draft);
        return draft;
    }
}
