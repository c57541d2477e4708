package dev.adapt.formats.graph;

import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * The Vision Transformer (Dosovitskiy et al., arXiv 2010.11929) as transformers' {@code ViTModel} and
 * {@code ViTForImageClassification} compute it: a pre-norm encoder over the patches of an image and a class token. Its
 * checkpoints keep the names of older versions of transformers, its adapters follow the version they were trained with.
 *
 * @param inner the width of the feed-forward network
 * @param image the height and width of an image
 * @param patch the height and width of a patch
 * @param biased whether queries, keys and values have biases
 */
public record Vit(
        int layers,
        Heads heads,
        int inner,
        int channels,
        int image,
        int patch,
        Activation activation,
        double epsilon,
        boolean biased,
        double dropout,
        double attentionDropout,
        Optional<Head> head)
        implements Architecture {
    private static final String PIXELS = "pixel_values";
    private static final String PATCHES = "embeddings.patch_embeddings.projection";
    private static final List<String> QKV =
            List.of("attention.attention.query", "attention.attention.key", "attention.attention.value");

    static Vit of(ModelConfig model) {
        JsonDocument config = model.document();
        int image = config.positive("image_size", Limits.PIXELS);
        int patch = config.positive("patch_size", Limits.PIXELS);
        if (image % patch != 0) {
            throw config.wrong("patch_size", "a divisor of image_size " + image);
        }
        return new Vit(
                config.positive("num_hidden_layers", Limits.LAYERS),
                Heads.of(config, "hidden_size", "num_attention_heads"),
                config.positive("intermediate_size", Limits.WIDTH),
                config.has("num_channels") ? config.positive("num_channels", Limits.CHANNELS) : 3,
                image,
                patch,
                Activation.of(config, "hidden_act", "gelu"),
                config.number("layer_norm_eps", 1e-12),
                config.flag("qkv_bias", true),
                config.number("hidden_dropout_prob", 0),
                config.number("attention_probs_dropout_prob", 0),
                model.head(Pooling.CLS));
    }

    @Override
    public List<InputSpec> inputs() {
        return List.of(new InputSpec(PIXELS, Dtype.F32, List.of("batch", "" + channels, "" + image, "" + image)));
    }

    @Override
    public Optional<Tokens> tokens() {
        return Optional.empty();
    }

    @Override
    public int hidden() {
        return heads.count() * heads.width();
    }

    @Override
    public List<String> usualTargets() {
        return List.of("query", "value");
    }

    @Override
    public List<String> linearModules() {
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            String layer = "encoder.layer." + i + ".";
            QKV.forEach(part -> modules.add(layer + part));
            for (String part : List.of("attention.output.dense", "intermediate.dense", "output.dense")) {
                modules.add(layer + part);
            }
        }
        return modules;
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        int hidden = hidden();
        Tensors tensors = new Tensors()
                .add("embeddings.cls_token", 1, 1, hidden)
                .add("embeddings.position_embeddings", 1, count() + 1L, hidden)
                .add(PATCHES + ".weight", hidden, channels, patch, patch)
                .add(PATCHES + ".bias", hidden);
        for (int i = 0; i < layers; i++) {
            String layer = "encoder.layer." + i + ".";
            tensors.layerNorm(layer + "layernorm_before", hidden);
            for (String part : QKV) {
                tensors.matrix(layer + part, hidden, hidden);
                if (biased) {
                    tensors.add(layer + part + ".bias", hidden);
                }
            }
            tensors.linear(layer + "attention.output.dense", hidden, hidden)
                    .layerNorm(layer + "layernorm_after", hidden)
                    .linear(layer + "intermediate.dense", inner, hidden)
                    .linear(layer + "output.dense", hidden, inner);
        }
        tensors.layerNorm("layernorm", hidden);
        head.ifPresent(own -> tensors.addAll(headTensors(own)));
        return tensors.shapes();
    }

    @Override
    public String prefix() {
        return "vit.";
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        return new Tensors().linear(Head.MODULE, own.labels().size(), hidden()).shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.CLS;
    }

    @Override
    public String classifierClass() {
        return "ViTForImageClassification";
    }

    @Override
    public SequencedMap<String, Shape> pooler() {
        return (head.isPresent() ? new Tensors() : new Tensors().linear(Tensors.POOLER, hidden(), hidden())).shapes();
    }

    @Override
    public String outputName() {
        return head.isPresent() ? "logits" : "last_hidden_state";
    }

    @Override
    public List<String> outputAxes() {
        return head.map(own -> List.of("batch", "" + own.labels().size()))
                .orElse(List.of("batch", "" + (count() + 1), "" + hidden()));
    }

    /** The number of patches. */
    private int count() {
        return (image / patch) * (image / patch);
    }

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        Ops<T> ops = model.ops();
        T states = embeddings(model, Layers.input(inputs, inputs().getFirst()));
        for (int i = 0; i < layers; i++) {
            String name = "encoder.layer." + i;
            states = ops.layer(states, x -> layer(model, x, name));
        }
        states = model.layerNorm(states, "layernorm", epsilon);
        return head.isPresent() ? model.linear(Pooling.first(ops, states), Head.MODULE) : states;
    }

    private <T> T embeddings(Layers<T> model, T pixels) {
        Ops<T> ops = model.ops();
        int side = image / patch;
        // a convolution whose stride is its kernel's size is a linear layer on patches
        T cut = ops.transpose(ops.reshape(pixels, 0, channels, side, patch, side, patch), 0, 2, 4, 1, 3, 5);
        T flat = ops.reshape(cut, 0, count(), (long) channels * patch * patch);
        T weight = ops.reshape(model.weight(PATCHES + ".weight"), hidden(), -1);
        T patches = ops.linear(flat, weight, Optional.of(model.weight(PATCHES + ".bias")));
        // a class token for each image, wherever the batch's size is known only in the run
        T none = ops.affine(ops.slice(patches, 1, 0, 1), 0, 0);
        T all = ops.concat(1, List.of(ops.add(none, model.weight("embeddings.cls_token")), patches));
        return ops.dropout(ops.add(all, model.weight("embeddings.position_embeddings")), dropout);
    }

    private <T> T layer(Layers<T> model, T states, String name) {
        Ops<T> ops = model.ops();
        T normed = model.layerNorm(states, name + ".layernorm_before", epsilon);
        Beside<T> beside = model.beside(normed);
        T context = ops.attention(
                heads.split(ops, beside.linear(name + "." + QKV.get(0))),
                heads.split(ops, beside.linear(name + "." + QKV.get(1))),
                heads.split(ops, beside.linear(name + "." + QKV.get(2))),
                Optional.empty(),
                heads.scale(),
                attentionDropout);
        T attended = model.linear(heads.join(ops, context), name + ".attention.output.dense");
        T middle = ops.add(ops.dropout(attended, dropout), states);
        T after = model.layerNorm(middle, name + ".layernorm_after", epsilon);
        T wide = ops.activation(model.linear(after, name + ".intermediate.dense"), activation);
        return ops.add(ops.dropout(model.linear(wide, name + ".output.dense"), dropout), middle);
    }
}
