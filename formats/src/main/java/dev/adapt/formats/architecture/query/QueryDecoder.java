package dev.adapt.formats.architecture.query;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.attention.Heads;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SequencedMap;
import java.util.function.Function;

/**
 * A small decoder of object queries, after AdaMixer's: stages of self-attention among the queries, {@link AdaptiveMixing} of
 * the features sampled for each of them, and a feed-forward network, each with a residual and a normalisation after it. Its
 * mixing is plain, or LORS where the config has an object {@code lors}; {@link #fold} makes the second the first.
 *
 * <p>Where features are sampled is the caller's: the decoder gets them once, for all stages. With heads it gives, for each
 * query, the logits of its classes (of focal loss: one sigmoid each, and no class of background) and then the box of the
 * object as a step from the box b that features were sampled in: ((x − x_b)/w_b, (y − y_b)/h_b, ln(w/w_b), ln(h/h_b)), x and
 * y being centres. Without, it gives the refined queries.
 *
 * @param attention none leaves the queries to themselves
 * @param inner the width of the feed-forward network; none leaves it out
 * @param lors none gives each stage a generator and a projection of its own
 * @param classes of its head; none leaves both heads out
 */
public record QueryDecoder(
        AdaptiveMixing mixing,
        int stages,
        Optional<Heads> attention,
        OptionalInt inner,
        Optional<LorsMixing> lors,
        OptionalInt classes)
        implements Architecture {
    /** Its {@code model_type}. */
    public static final String TYPE = "query_decoder";

    /** The sampled features, [batch, queries, groups, points, channels]. */
    public static final String FEATURES = "features";

    /** The object queries, [batch, queries, hidden]. */
    public static final String QUERIES = "queries";

    /** The linear layer that gives the logits of the classes. */
    public static final String CLASS_HEAD = "class_head";

    /** The numbers of a box. */
    private static final int BOX = 4;

    private static final String MIXING = "mixing.";
    private static final String LORS = "lors";
    private static final List<String> BOX_HEAD = List.of("box_head.0", "box_head.1");
    private static final double EPSILON = 1e-5;

    /**
     * The decoder that a config describes.
     *
     * @throws dev.adapt.formats.FormatException if a size is missing, or not as it must be
     */
    public static QueryDecoder of(ModelConfig model) {
        JsonDocument config = model.document();
        int stages = config.positive("num_stages", Limits.LAYERS);
        AdaptiveMixing mixing = new AdaptiveMixing(
                config.positive("hidden_size", Limits.HEAD_WIDTH),
                config.positive("num_groups", Limits.GROUPS),
                config.positive("num_channels", Limits.CHANNELS),
                config.positive("in_points", Limits.POINTS),
                config.positive("out_points", Limits.POINTS));
        return new QueryDecoder(
                mixing,
                stages,
                config.has("num_attention_heads")
                        ? Optional.of(Heads.of(config, "hidden_size", "num_attention_heads"))
                        : Optional.empty(),
                config.has("intermediate_size")
                        ? OptionalInt.of(config.positive("intermediate_size", Limits.WIDTH))
                        : OptionalInt.empty(),
                config.has(LORS) ? Optional.of(LorsMixing.of(config.object(LORS), mixing, stages)) : Optional.empty(),
                classes(config));
    }

    private static OptionalInt classes(JsonDocument config) {
        JsonNode labels = config.json().path("id2label");
        if (!config.has("id2label")) {
            return OptionalInt.empty();
        }
        for (int id = 0; id < labels.size() || id == 0; id++) {
            if (!labels.path(Integer.toString(id)).isTextual()) {
                throw config.wrong("id2label", "the names of classes \"0\", \"1\" and so on");
            }
        }
        return OptionalInt.of(labels.size());
    }

    /** The config of the plain decoder that {@link #fold} gives the tensors of. */
    public static ModelConfig plain(ModelConfig config) {
        ObjectNode changed = config.document().json().deepCopy();
        changed.remove(LORS);
        return new ModelConfig(new JsonDocument(config.document().path(), changed));
    }

    /**
     * The mixing of a stage as a plain decoder has it, by canonical name; what both have is as it was, and all other tensors
     * of the decoder stay as they are. The two compute the same.
     *
     * @param leaf tensors by canonical name
     * @throws IllegalStateException if it is plain already
     */
    public <T> SequencedMap<String, T> fold(Ops<T> ops, Function<String, T> leaf, int stage) {
        return lors.orElseThrow(() -> new IllegalStateException("this decoder is plain"))
                .fold(ops, leaf, MIXING, stage);
    }

    /** The tensors of the generators of all stages: what adaptive LORS shares. */
    public SequencedMap<String, Shape> generatorTensors() {
        Tensors plain = new Tensors();
        for (int i = 0; i < stages; i++) {
            plain.linear(AdaptiveMixing.generator(MIXING, i), mixing.generated(), mixing.width());
        }
        return lors.map(own -> own.generatorTensors(MIXING)).orElse(plain).shapes();
    }

    /** The matrices of the projections of all stages, without biases: what static LORS shares. */
    public SequencedMap<String, Shape> projectionTensors() {
        Tensors plain = new Tensors();
        for (int i = 0; i < stages; i++) {
            plain.matrix(AdaptiveMixing.projection(MIXING, i), mixing.width(), mixing.mixed());
        }
        return lors.map(own -> own.projectionTensors(MIXING)).orElse(plain).shapes();
    }

    /**
     * Whether training begins with a matrix at 0: the last of the box head, so that boxes are those of the queries, and one
     * factor of each private part of LORS, so that stages are what they share.
     */
    public static boolean startsAtZero(String tensor) {
        return tensor.equals(BOX_HEAD.getLast() + ".weight") || LorsMixing.isRightFactor(tensor);
    }

    @Override
    public List<InputSpec> inputs() {
        return List.of(
                new InputSpec(
                        FEATURES,
                        Dtype.F32,
                        List.of(
                                "batch",
                                QUERIES,
                                "" + mixing.groups(),
                                "" + mixing.inPoints(),
                                "" + mixing.channels())),
                new InputSpec(QUERIES, Dtype.F32, List.of("batch", QUERIES, "" + hidden())));
    }

    @Override
    public Optional<Tokens> tokens() {
        return Optional.empty();
    }

    /** None: no class of transformers wraps it. */
    @Override
    public String prefix() {
        return "";
    }

    @Override
    public int hidden() {
        return mixing.width();
    }

    @Override
    public List<String> linearModules() {
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < stages; i++) {
            String stage = stage(i);
            if (attention.isPresent()) {
                List.of("query", "key", "value", "output").forEach(part -> modules.add(stage + "attention." + part));
            }
            if (lors.isEmpty()) {
                modules.add(AdaptiveMixing.generator(MIXING, i));
                modules.add(AdaptiveMixing.projection(MIXING, i));
            }
            if (inner.isPresent()) {
                modules.add(stage + "intermediate");
                modules.add(stage + "output");
            }
        }
        return modules;
    }

    private static String stage(int i) {
        return "stages." + i + ".";
    }

    @Override
    public List<String> usualTargets() {
        return attention.isPresent() ? List.of("query", "value") : List.of("parameter_generator", "out_proj");
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        int hidden = hidden();
        Tensors tensors = new Tensors();
        lors.ifPresent(own -> tensors.addAll(own.tensors(MIXING).shapes()));
        for (int i = 0; i < stages; i++) {
            String stage = stage(i);
            if (attention.isPresent()) {
                List.of("query", "key", "value", "output")
                        .forEach(part -> tensors.linear(stage + "attention." + part, hidden, hidden));
                tensors.layerNorm(stage + "attention.norm", hidden);
            }
            if (lors.isEmpty()) {
                tensors.addAll(mixing.tensors(MIXING, i).shapes());
            }
            inner.ifPresent(width -> tensors.linear(stage + "intermediate", width, hidden)
                    .linear(stage + "output", hidden, width)
                    .layerNorm(stage + "norm", hidden));
        }
        classes.ifPresent(count -> tensors.linear(CLASS_HEAD, count, hidden)
                .linear(BOX_HEAD.get(0), hidden, hidden)
                .linear(BOX_HEAD.get(1), BOX, hidden));
        return tensors.shapes();
    }

    /** None: its heads are of another kind, and its own. */
    @Override
    public Optional<Head> head() {
        return Optional.empty();
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        return new Tensors().shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.MEAN;
    }

    @Override
    public String classifierClass() {
        return "QueryDecoder";
    }

    @Override
    public String outputName() {
        return classes.isPresent() ? "predictions" : "last_hidden_state";
    }

    @Override
    public List<String> outputAxes() {
        return List.of("batch", QUERIES, "" + (classes.isPresent() ? classes.getAsInt() + BOX : hidden()));
    }

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        T features = Layers.input(inputs, inputs().get(0));
        T queries = Layers.input(inputs, inputs().get(1));
        for (int i = 0; i < stages; i++) {
            queries = stage(model, features, queries, i);
        }
        return classes.isPresent() ? predictions(model, queries) : queries;
    }

    private <T> T stage(Layers<T> model, T features, T queries, int i) {
        T attended = attention.isPresent() ? attended(model, queries, stage(i), attention.get()) : queries;
        T mixed = lors.isPresent()
                ? lors.get().forward(model, features, attended, MIXING, i)
                : mixing.forward(model, features, attended, MIXING, i);
        return inner.isPresent() ? transformed(model, mixed, stage(i)) : mixed;
    }

    private static <T> T attended(Layers<T> model, T queries, String stage, Heads heads) {
        Ops<T> ops = model.ops();
        T context = ops.attention(
                heads.split(ops, model.linear(queries, stage + "attention.query")),
                heads.split(ops, model.linear(queries, stage + "attention.key")),
                heads.split(ops, model.linear(queries, stage + "attention.value")),
                Optional.empty(),
                heads.scale(),
                0);
        T given = model.linear(heads.join(ops, context), stage + "attention.output");
        return model.layerNorm(ops.add(queries, given), stage + "attention.norm", EPSILON);
    }

    private static <T> T transformed(Layers<T> model, T queries, String stage) {
        Ops<T> ops = model.ops();
        T middle = ops.activation(model.linear(queries, stage + "intermediate"), Activation.RELU);
        return model.layerNorm(ops.add(queries, model.linear(middle, stage + "output")), stage + "norm", EPSILON);
    }

    /** Logits of the classes and a box, [batch, queries, classes + 4]. */
    private static <T> T predictions(Layers<T> model, T queries) {
        Ops<T> ops = model.ops();
        T middle = ops.activation(model.linear(queries, BOX_HEAD.get(0)), Activation.RELU);
        return ops.concat(2, List.of(model.linear(queries, CLASS_HEAD), model.linear(middle, BOX_HEAD.get(1))));
    }
}
