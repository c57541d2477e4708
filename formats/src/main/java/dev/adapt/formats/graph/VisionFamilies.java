package dev.adapt.formats.graph;

import dev.adapt.formats.graph.EncoderInput.Patches;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** The encoders of images: transformers over patches. */
final class VisionFamilies {
    private static final String KERNEL = "embeddings.patch_embeddings.projection";

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

    private static EncoderInput patches(EncoderDraft draft, String kernel, List<String> first) {
        JsonDocument config = draft.config;
        int side = config.positive("image_size", Limits.PIXELS);
        int patch = config.positive("patch_size", Limits.PIXELS);
        if (side % patch != 0) {
            throw config.wrong("patch_size", "a divisor of image_size " + side);
        }
        int channels = config.has("num_channels") ? config.positive("num_channels", Limits.CHANNELS) : 3;
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
            draft.pooler = Optional.of(new EncoderHeads.Stage(
                    draft.linear(Tensors.POOLER, draft.hidden, draft.hidden), pooled));
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
}
