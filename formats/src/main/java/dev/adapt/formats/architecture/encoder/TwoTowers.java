package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.layer.attention.Heads;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * A tower for texts beside one for images, whose embeddings are alike where a text describes an image: CLIP (Radford et al.,
 * arXiv 2103.00020) and SigLIP (Zhai et al., arXiv 2303.15343) as transformers' {@code CLIPModel} and {@code SiglipModel}
 * compute them. Texts and images are two batches of their own sizes.
 *
 * @param width of the embeddings
 */
public record TwoTowers(Encoder text, Encoder image, Joint joint, int width) implements Architecture {
    private static final String BY_IMAGE = "logits_per_image";
    private static final String BY_TEXT = "logits_per_text";
    private static final String OF_TEXTS = "text_embeds";
    private static final String OF_IMAGES = "image_embeds";
    private static final String SCALE = "logit_scale";

    /** How the last states of a tower become one embedding, and two embeddings a logit. */
    sealed interface Joint {
        /**
         * CLIP's.
         *
         * @param end the id of the token whose state stands for a text, its first; without it, the first of the largest id
         * @param images the module that normalises the state that stands for an image
         */
        record Clip(Optional<Integer> end, LinearLayer ofText, LinearLayer ofImage, String images) implements Joint {
            @Override
            public List<LinearLayer> layers() {
                return List.of(ofText, ofImage);
            }

            @Override
            public void addTensors(Tensors tensors, EncoderSpec image) {
                layers().forEach(layer -> layer.addTensors(tensors, ""));
                image.norm().addTensors(tensors, images, image.hidden());
                tensors.add(SCALE);
            }

            @Override
            public <T> T ofText(Layers<T> model, T states, T ids) {
                Ops<T> ops = model.ops();
                T marks = end.isPresent() ? ops.equal(ids, ops.integer(end.get())) : largest(ops, ids);
                T first = ops.mul(marks, ops.equal(ops.cumSum(marks, 1), ops.integer(1)));
                // without such a token the first one stands for the text
                T none = ops.equal(ops.sum(first, 1), ops.integer(0));
                T chosen = ops.add(first, ops.mul(none, ops.equal(ops.positions(ids), ops.integer(0))));
                return ofText.apply(model, "", Pooling.sum(ops, states, ops.toFloat(chosen)));
            }

            private static <T> T largest(Ops<T> ops, T ids) {
                T others = ops.reshape(ids, 0, 1, -1);
                T larger = ops.not(ops.lessOrEqual(others, ops.reshape(ids, 0, -1, 1)));
                return ops.equal(ops.reshape(ops.sum(larger, 2), 0, -1), ops.integer(0));
            }

            @Override
            public <T> T ofImage(Layers<T> model, T states, EncoderSpec image) {
                T first = Pooling.first(model.ops(), states);
                return ofImage.apply(model, "", image.norm().apply(model, first, images, image.hidden()));
            }

            @Override
            public <T> T logits(Layers<T> model, T alike) {
                return scaled(model, alike);
            }
        }

        /**
         * SigLIP's.
         *
         * @param ofText makes the embedding of a text of its last state
         * @param pool makes that of an image
         */
        record Siglip(LinearLayer ofText, Probe pool) implements Joint {
            private static final String BIAS = "logit_bias";

            @Override
            public List<LinearLayer> layers() {
                return List.of(ofText, pool.up(), pool.down());
            }

            @Override
            public void addTensors(Tensors tensors, EncoderSpec image) {
                ofText.addTensors(tensors, "");
                pool.addTensors(tensors, image);
                tensors.add(SCALE, 1).add(BIAS, 1);
            }

            @Override
            public <T> T ofText(Layers<T> model, T states, T ids) {
                Ops<T> ops = model.ops();
                T last = ops.tail(ops.transpose(states, 0, 2, 1), ops.slice(states, 2, 0, 1));
                return ofText.apply(model, "", ops.reshape(last, 0, -1));
            }

            @Override
            public <T> T ofImage(Layers<T> model, T states, EncoderSpec image) {
                return pool.apply(model, states, image);
            }

            @Override
            public <T> T logits(Layers<T> model, T alike) {
                return model.ops().add(scaled(model, alike), model.weight(BIAS));
            }
        }

        /** The linear layers beside those of the towers. */
        List<LinearLayer> layers();

        void addTensors(Tensors tensors, EncoderSpec image);

        /** The embeddings [batch, width] of texts. */
        <T> T ofText(Layers<T> model, T states, T ids);

        /** The embeddings [images, width] of images. */
        <T> T ofImage(Layers<T> model, T states, EncoderSpec image);

        /** The logits of cosines. */
        <T> T logits(Layers<T> model, T alike);

        private static <T> T scaled(Layers<T> model, T alike) {
            Ops<T> ops = model.ops();
            return ops.mul(alike, ops.activation(ops.reshape(model.weight(SCALE), 1), Activation.EXP));
        }
    }

    /**
     * A learned query that attends to all states of an image, and a network on what it finds.
     *
     * @param block what stands before the names of its tensors
     */
    record Probe(String block, Heads heads, LinearLayer up, LinearLayer down, Activation activation) {
        void addTensors(Tensors tensors, EncoderSpec image) {
            int hidden = image.hidden();
            tensors.add(block + "probe", 1, 1, hidden)
                    .add(block + "attention.in_proj_weight", 3L * hidden, hidden)
                    .add(block + "attention.in_proj_bias", 3L * hidden)
                    .linear(block + "attention.out_proj", hidden, hidden);
            image.norm().addTensors(tensors, block + "layernorm", hidden);
            up.addTensors(tensors, "");
            down.addTensors(tensors, "");
        }

        <T> T apply(Layers<T> model, T states, EncoderSpec image) {
            Ops<T> ops = model.ops();
            // once for each image, wherever the batch's size is known only in the run
            T none = ops.affine(ops.slice(states, 1, 0, 1), 0, 0);
            T probe = ops.add(none, model.weight(block + "probe"));
            T found = ops.attention(
                    part(model, probe, 0),
                    part(model, states, 1),
                    part(model, states, 2),
                    Optional.empty(),
                    heads.scale(),
                    0);
            T attended = model.linear(heads.join(ops, found), block + "attention.out_proj");
            T normed = image.norm().apply(model, attended, block + "layernorm", image.hidden());
            T product = down.apply(model, "", ops.activation(up.apply(model, "", normed), activation));
            return Pooling.first(ops, ops.add(attended, product));
        }

        /** Queries, keys or values, which one tensor projects to. */
        private <T> T part(Layers<T> model, T x, int index) {
            Ops<T> ops = model.ops();
            long from = (long) index * heads.total();
            long to = from + heads.total();
            T weight = ops.slice(model.weight(block + "attention.in_proj_weight"), 0, from, to);
            T bias = ops.slice(model.weight(block + "attention.in_proj_bias"), 0, from, to);
            return heads.split(ops, ops.linear(x, weight, Optional.of(bias)));
        }
    }

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        return outputs(model, inputs).firstEntry().getValue();
    }

    @Override
    public <T> SequencedMap<String, T> outputs(Layers<T> model, Map<String, T> inputs) {
        Ops<T> ops = model.ops();
        T ids = Layers.input(inputs, InputSpec.IDS);
        T texts = unit(ops, joint.ofText(model, text.states(model, inputs), ids));
        T images = unit(ops, joint.ofImage(model, image.states(model, inputs), image.spec()));
        T logits = joint.logits(model, ops.matMul(images, ops.transpose(texts, 1, 0)));
        SequencedMap<String, T> outputs = new LinkedHashMap<>();
        outputs.put(BY_IMAGE, logits);
        outputs.put(BY_TEXT, ops.transpose(logits, 1, 0));
        outputs.put(OF_TEXTS, texts);
        outputs.put(OF_IMAGES, images);
        return outputs;
    }

    private static <T> T unit(Ops<T> ops, T x) {
        return ops.div(x, ops.sqrt(ops.sum(ops.mul(x, x), 1)));
    }

    @Override
    public SequencedMap<String, List<String>> outputs() {
        SequencedMap<String, List<String>> outputs = new LinkedHashMap<>();
        outputs.put(BY_IMAGE, List.of("images", "batch"));
        outputs.put(BY_TEXT, List.of("batch", "images"));
        outputs.put(OF_TEXTS, List.of("batch", "" + width));
        outputs.put(OF_IMAGES, List.of("images", "" + width));
        return outputs;
    }

    @Override
    public List<InputSpec> inputs() {
        InputSpec pixels = image.inputs().getFirst();
        List<String> axes = new ArrayList<>(pixels.axes());
        axes.set(0, "images");
        return List.of(InputSpec.IDS, InputSpec.MASK, new InputSpec(pixels.name(), Dtype.F32, axes));
    }

    @Override
    public Optional<Tokens> tokens() {
        return text.tokens();
    }

    @Override
    public int hidden() {
        return width;
    }

    @Override
    public List<String> linearModules() {
        List<String> modules = new ArrayList<>(text.linearModules());
        modules.addAll(image.linearModules());
        joint.layers().forEach(layer -> modules.add(layer.name()));
        return modules;
    }

    @Override
    public List<String> usualTargets() {
        return text.usualTargets();
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        Tensors tensors = text.bodyTensors();
        tensors.addAll(image.bodyTensors().shapes());
        joint.addTensors(tensors, image.spec());
        return tensors.shapes();
    }

    @Override
    public String prefix() {
        return "";
    }

    @Override
    public Optional<Head> head() {
        return Optional.empty();
    }

    /** No class of transformers puts a classification head on both towers. */
    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        return new Tensors().shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.CLS;
    }

    @Override
    public String classifierClass() {
        return image.spec().className() + "Model";
    }

    @Override
    public Optional<String> wordTable() {
        return text.wordTable();
    }

    @Override
    public String outputName() {
        return BY_IMAGE;
    }

    @Override
    public List<String> outputAxes() {
        return List.of("images", "batch");
    }

    /**
     * The towers that a config describes, if it describes two.
     *
     * @throws FormatException if its class in transformers has another head
     */
    public static Optional<TwoTowers> of(ModelConfig config) {
        boolean clip = config.modelType().equals("clip");
        if (!clip && !config.modelType().equals("siglip")) {
            return Optional.empty();
        }
        if (!config.className().isEmpty() && !config.className().endsWith("Model")) {
            throw config.document()
                    .wrong("architectures", "CLIPModel or SiglipModel; of other classes only the merge is supported");
        }
        return Optional.of(clip ? VisionFamilies.clip(config) : VisionFamilies.siglip(config));
    }
}
