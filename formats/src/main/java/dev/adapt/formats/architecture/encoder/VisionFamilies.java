package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.architecture.encoder.EncoderInput.Patches;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** The encoders of images, transformers over patches, and those of texts that are trained beside them. */
final class VisionFamilies {
    private static final String KERNEL = "embeddings.patch_embeddings.projection";
    private static final String TEXTS = "text_model.";
    private static final String IMAGES = "vision_model.";

    private VisionFamilies() {}

    static void addTo(Map<String, Function<ModelConfig, EncoderDraft>> families) {
        families.put("vit", VisionFamilies::vit);
        families.put("deit", VisionFamilies::deit);
        families.put("dinov2", VisionFamilies::dino);
    }

    /** What they share: layers that normalise what they read, over a token for the whole image and its patches. */
    private static EncoderDraft draft(ModelConfig model, String className, String prefix, List<String> first) {
        EncoderDraft draft = new EncoderDraft(model, className, prefix);
        JsonDocument config = draft.config;
        draft.classifier = "ForImageClassification";
        draft.activation = Activation.of(config, "hidden_act", "gelu");
        draft.projections =
                List.of("attention.attention.query", "attention.attention.key", "attention.attention.value");
        draft.biasedProjections = config.flag("qkv_bias", true);
        draft.finalNorm = Optional.of("layernorm");
        draft.dropout = config.number("hidden_dropout_prob", 0);
        draft.attentionDropout = config.number("attention_probs_dropout_prob", 0);
        draft.headDropout = 0;
        draft.input = () -> patches(draft, KERNEL, first);
        return draft;
    }

    private static Patches patches(EncoderDraft draft, String kernel, List<String> first) {
        JsonDocument config = draft.config;
        int side = config.positive("image_size", Limits.PIXELS);
        int patch = config.positive("patch_size", Limits.PIXELS);
        if (side % patch != 0) {
            throw config.wrong("patch_size", "a divisor of image_size " + side);
        }
        int channels = config.positive("num_channels", Limits.CHANNELS, 3);
        List<Patches.Stored> tokens = new ArrayList<>();
        first.forEach(name -> tokens.add(new Patches.Stored("embeddings." + name, Shape.of(1, 1, draft.hidden))));
        long count = (long) Patches.count(side, patch) + first.size();
        return new Patches(
                channels,
                side,
                patch,
                draft.linear(kernel, draft.hidden, channels * patch * patch),
                tokens,
                new Patches.Stored("embeddings.position_embeddings", Shape.of(1, count, draft.hidden)),
                Optional.empty(),
                draft.dropout);
    }

    /**
     * The Vision Transformer (Dosovitskiy et al., arXiv 2010.11929). Its checkpoints keep the names of older versions of
     * transformers, its adapters follow the version they were trained with.
     */
    private static EncoderDraft vit(ModelConfig model) {
        return vit(model, "ViT", "vit.", List.of("cls_token"));
    }

    private static EncoderDraft vit(ModelConfig model, String className, String prefix, List<String> first) {
        EncoderDraft draft = draft(model, className, prefix, first);
        JsonDocument config = draft.config;
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_eps", 1e-12));
        draft.inner = config.positive("intermediate_size", Limits.WIDTH);
        draft.attentionNorms = index -> DecoderLayer.Branch.before("layernorm_before");
        draft.feedForwardNorms = DecoderLayer.Branch.before("layernorm_after");
        if (config.integer("pooler_output_size", draft.hidden, 1, Limits.WIDTH) == draft.hidden) {
            Activation pooled = Activation.of(config, "pooler_act", "tanh");
            draft.pooler = Optional.of(
                    new EncoderHeads.Stage(draft.linear(Tensors.POOLER, draft.hidden, draft.hidden), pooled));
        }
        return draft;
    }

    /** DeiT (Touvron et al., arXiv 2012.12877): a second token that learned from a teacher. */
    private static EncoderDraft deit(ModelConfig model) {
        return vit(model, "DeiT", "deit.", List.of("cls_token", "distillation_token"));
    }

    /** DINOv2 (Oquab et al., arXiv 2304.07193): what layers add is scaled element by element. */
    private static EncoderDraft dino(ModelConfig model) {
        EncoderDraft draft = draft(model, "Dinov2", "dinov2.", List.of("cls_token"));
        JsonDocument config = draft.config;
        config.refuse("use_swiglu_ffn");
        draft.norm = new Norm(Norm.Kind.LAYER, config.number("layer_norm_eps", 1e-6));
        draft.inner = (int) Math.min(draft.hidden * config.number("mlp_ratio", 4), Limits.WIDTH);
        draft.up = "mlp.fc1";
        draft.down = "mlp.fc2";
        draft.attentionNorms = index -> DecoderLayer.Branch.before("norm1").scaled("layer_scale1.lambda1");
        draft.feedForwardNorms = DecoderLayer.Branch.before("norm2").scaled("layer_scale2.lambda1");
        draft.meanBeside = true;
        return draft;
    }

    /** A tower of CLIP or SigLIP; its names in a checkpoint stand behind those of the tower. */
    private static EncoderDraft tower(
            ModelConfig whole, String className, String field, String block, double epsilon, String activation) {
        String type = whole.modelType() + "_" + field.replace("config", "model");
        ModelConfig own = new ModelConfig(whole.document().object(field)).complete(type);
        EncoderDraft draft = new EncoderDraft(own, className, "");
        draft.norm = new Norm(Norm.Kind.LAYER, draft.config.number("layer_norm_eps", epsilon));
        draft.activation = Activation.of(draft.config, "hidden_act", activation);
        draft.inner = draft.config.positive("intermediate_size", Limits.WIDTH);
        draft.layerName = index -> block + "encoder.layers." + index + ".";
        draft.projections = List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj");
        draft.output = "self_attn.out_proj";
        draft.up = "mlp.fc1";
        draft.down = "mlp.fc2";
        draft.attentionNorms = index -> DecoderLayer.Branch.before("layer_norm1");
        draft.feedForwardNorms = DecoderLayer.Branch.before("layer_norm2");
        draft.usualTargets = List.of("q_proj", "v_proj");
        draft.dropout = 0;
        draft.attentionDropout = draft.config.number("attention_dropout", 0);
        return draft;
    }

    private static void readWords(EncoderDraft draft) {
        int rows = draft.config.positive("max_position_embeddings", Limits.ROWS);
        draft.words = TEXTS + "embeddings.token_embedding";
        draft.positions = Optional.of(
                new EncoderInput.Words.Positions(TEXTS + "embeddings.position_embedding", rows, Optional.empty()));
        draft.embeddingNorm = Optional.empty();
        draft.finalNorm = Optional.of(TEXTS + "final_layer_norm");
    }

    private static void readPatches(EncoderDraft draft, boolean biased, boolean first, Optional<String> norm) {
        String block = IMAGES + "embeddings.";
        draft.input = () -> {
            Patches usual = patches(draft, block + "patch_embedding", List.of());
            long count = Patches.count(usual.side(), usual.patch()) + (first ? 1L : 0L);
            return new Patches(
                    usual.channels(),
                    usual.side(),
                    usual.patch(),
                    new LinearLayer(
                            block + "patch_embedding",
                            draft.hidden,
                            usual.kernel().in(),
                            biased),
                    first ? List.of(new Patches.Stored(block + "class_embedding", Shape.of(draft.hidden))) : List.of(),
                    new Patches.Stored(block + "position_embedding.weight", Shape.of(count, draft.hidden)),
                    norm,
                    0);
        };
    }

    static TwoTowers clip(ModelConfig model) {
        EncoderDraft text = tower(model, "CLIP", "text_config", TEXTS, 1e-5, "quick_gelu");
        readWords(text);
        text.seen = EncoderInput.Words.Seen.EARLIER;
        EncoderDraft image = tower(model, "CLIP", "vision_config", IMAGES, 1e-5, "quick_gelu");
        readPatches(image, false, true, Optional.of(IMAGES + "pre_layrnorm"));
        int width = model.document().integer("projection_dim", 512, 1, Limits.WIDTH);
        int end = text.config.integer("eos_token_id", 49_407, 0, Limits.ROWS);
        // configs of old versions say 2, which their tokenizer does not mean
        Optional<Integer> marked = end == 2 ? Optional.empty() : Optional.of(end);
        TwoTowers.Joint joint = new TwoTowers.Joint.Clip(
                marked,
                new LinearLayer("text_projection", width, text.hidden, false),
                new LinearLayer("visual_projection", width, image.hidden, false),
                IMAGES + "post_layernorm");
        return new TwoTowers(new Encoder(text.spec()), new Encoder(image.spec()), joint, width);
    }

    static TwoTowers siglip(ModelConfig model) {
        EncoderDraft text = tower(model, "Siglip", "text_config", TEXTS, 1e-6, "gelu_pytorch_tanh");
        readWords(text);
        EncoderDraft image = tower(model, "Siglip", "vision_config", IMAGES, 1e-6, "gelu_pytorch_tanh");
        readPatches(image, true, false, Optional.empty());
        image.finalNorm = Optional.of(IMAGES + "post_layernorm");
        if (!image.config.flag("vision_use_head", true)) {
            throw image.config.wrong("vision_use_head", "true: a tower without its head is not supported");
        }
        int width = text.config.integer("projection_size", text.hidden, 1, Limits.WIDTH);
        if (width != image.hidden) {
            throw text.config.wrong("projection_size", "the width of the images' tower, " + image.hidden);
        }
        String block = IMAGES + "head.";
        TwoTowers.Probe probe = new TwoTowers.Probe(
                block,
                image.heads,
                image.linear(block + "mlp.fc1", image.inner, width),
                image.linear(block + "mlp.fc2", width, image.inner),
                image.activation);
        TwoTowers.Joint joint = new TwoTowers.Joint.Siglip(text.linear(TEXTS + "head", width, text.hidden), probe);
        return new TwoTowers(new Encoder(text.spec()), new Encoder(image.spec()), joint, width);
    }
}
