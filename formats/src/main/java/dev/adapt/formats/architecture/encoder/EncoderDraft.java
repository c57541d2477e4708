package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.FeedForward;
import dev.adapt.formats.layer.attention.Attention;
import dev.adapt.formats.layer.attention.DecoderAttention;
import dev.adapt.formats.layer.attention.Heads;
import dev.adapt.formats.layer.attention.Projections;
import dev.adapt.formats.layer.attention.RelativeBias;
import dev.adapt.formats.layer.attention.Rope;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.function.Supplier;

/**
 * An {@link EncoderSpec} in the making. It begins as BERT with the sizes of a config.json; a family of models changes what
 * differs.
 */
final class EncoderDraft {
    final ModelConfig model;
    final JsonDocument config;
    final String className;
    final String prefix;
    String classifier = "ForSequenceClassification";

    // sizes
    final int hidden;
    final int layers;
    final Heads heads;
    int inner;
    Norm norm = new Norm(Norm.Kind.LAYER, 1e-12);
    Activation activation = Activation.GELU;
    double dropout;
    double attentionDropout;

    // the input of words
    String words = "embeddings.word_embeddings";
    int width;
    Optional<EncoderInput.Words.Positions> positions = Optional.empty();
    Optional<EncoderInput.Words.Types> types = Optional.empty();
    Optional<String> embeddingNorm = Optional.of("embeddings.LayerNorm");
    Optional<LinearLayer> projection = Optional.empty();
    boolean normsProjected;
    EncoderInput.Words.Seen seen = EncoderInput.Words.Seen.KEPT;
    Supplier<EncoderInput> input = this::ofWords;

    // the layers
    IntFunction<String> layerName = index -> "encoder.layer." + index + ".";
    List<String> projections = List.of("attention.self.query", "attention.self.key", "attention.self.value");
    boolean biasedProjections = true;
    String output = "attention.output.dense";
    boolean biasedOutput = true;
    String up = "intermediate.dense";
    String down = "output.dense";
    IntFunction<DecoderLayer.Branch> attentionNorms = index -> DecoderLayer.Branch.ofSum("attention.output.LayerNorm");
    DecoderLayer.Branch feedForwardNorms = DecoderLayer.Branch.ofSum("output.LayerNorm");
    IntFunction<Optional<Rope>> rope = index -> Optional.empty();
    IntFunction<Optional<Integer>> window = index -> Optional.empty();
    Optional<RelativeBias> relative = Optional.empty();
    IntFunction<DecoderAttention> attention = this::attention;
    Supplier<FeedForward> feedForward = this::plain;
    Optional<String> finalNorm = Optional.empty();
    List<String> usualTargets = List.of("query", "value");

    // the heads
    Optional<EncoderHeads.Stage> pooler = Optional.empty();
    boolean poolerOfBody = true;
    Pooling pooling = Pooling.CLS;
    Optional<EncoderHeads.Stage> beforeClasses = Optional.empty();
    boolean innerForTokens;
    boolean meanBeside;
    String classes = Head.MODULE;
    String answers = "qa_outputs";
    Optional<String> next = Optional.empty();
    Optional<EncoderHeads.Words> maskedWords = Optional.empty();
    double headDropout;

    /**
     * @param className what the names of its classes in transformers begin with
     * @param prefix of its body's tensors
     */
    EncoderDraft(ModelConfig model, String className, String prefix) {
        this.model = model;
        this.config = model.document();
        this.className = className;
        this.prefix = prefix;
        this.layers = positive(Limits.LAYERS, "num_hidden_layers", "n_layers", "n_layer");
        this.heads = Heads.of(
                config,
                config.either("hidden_size", "dim", "n_embd"),
                config.either("num_attention_heads", "n_heads", "n_head"));
        this.hidden = heads.total();
        this.width = hidden;
        this.dropout = config.number(config.either("hidden_dropout_prob", "dropout"), 0.1);
        this.attentionDropout = config.number(config.either("attention_probs_dropout_prob", "attention_dropout"), 0.1);
        this.headDropout = config.number("classifier_dropout", dropout);
    }

    /** The first of these fields that the config has. */
    int positive(int most, String... names) {
        return config.positive(config.either(names), most);
    }

    /** A layer with a bias. */
    LinearLayer linear(String name, int out, int in) {
        return new LinearLayer(name, out, in, true);
    }

    /** Learned positions of the usual name; those of padding tokens by their id, if there is one. */
    void learnPositions(Optional<Integer> padding) {
        int rows = config.positive("max_position_embeddings", Limits.ROWS);
        positions = Optional.of(new EncoderInput.Words.Positions("embeddings.position_embeddings", rows, padding));
    }

    /** Token types of the usual name, if there are any. */
    void learnTypes(int otherwise, boolean given) {
        int rows = config.integer("type_vocab_size", otherwise, 0, Limits.ROWS);
        types = rows == 0
                ? Optional.empty()
                : Optional.of(new EncoderInput.Words.Types("embeddings.token_type_embeddings", rows, given));
    }

    /** A head for masked words that ends with the embedding table. */
    void tellWords(String dense, Activation between, String normModule, String last, String bias) {
        EncoderHeads.Stage stage =
                new EncoderHeads.Stage(linear(dense, width, hidden), between, Optional.of(normModule));
        boolean tied = config.flag("tie_word_embeddings", true);
        maskedWords = Optional.of(new EncoderHeads.Words(stage, last, tied, Optional.of(bias)));
    }

    private EncoderInput ofWords() {
        int rows = positions
                .map(own -> own.rows() - own.padding().map(id -> id + 1).orElse(0))
                .orElseGet(() -> positive(Limits.SEQUENCE, "max_position_embeddings", "n_positions"));
        int given = types.filter(EncoderInput.Words.Types::given)
                .map(EncoderInput.Words.Types::rows)
                .orElse(1);
        return new EncoderInput.Words(
                new Tokens(config.positive("vocab_size", Limits.ROWS), rows, given),
                words,
                width,
                positions,
                types,
                embeddingNorm,
                projection,
                normsProjected,
                seen,
                dropout);
    }

    private FeedForward plain() {
        return new FeedForward.Plain(linear(up, inner, hidden), linear(down, hidden, inner), activation);
    }

    private DecoderAttention attention(int index) {
        List<LinearLayer> parts = projections.stream()
                .map(name ->
                        new LinearLayer(name, projections.size() == 1 ? 3 * hidden : hidden, hidden, biasedProjections))
                .toList();
        return new Attention(
                heads,
                heads,
                parts.size() == 1
                        ? new Projections.Joined(parts.getFirst(), heads, heads)
                        : new Projections.Apart(parts.get(0), parts.get(1), parts.get(2)),
                new LinearLayer(output, hidden, hidden, biasedOutput),
                Optional.empty(),
                rope.apply(index),
                Optional.empty(),
                relative,
                window.apply(index),
                heads.scale(),
                Optional.empty(),
                Optional.empty(),
                attentionDropout);
    }

    EncoderSpec spec() {
        List<DecoderLayer> all = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            all.add(new DecoderLayer(
                    layerName.apply(i),
                    hidden,
                    norm,
                    attention.apply(i),
                    attentionNorms.apply(i),
                    feedForward.get(),
                    feedForwardNorms,
                    false,
                    1,
                    dropout));
        }
        EncoderHeads own = new EncoderHeads(
                pooler,
                poolerOfBody,
                pooling,
                beforeClasses,
                innerForTokens,
                meanBeside,
                classes,
                answers,
                next,
                maskedWords,
                headDropout);
        return new EncoderSpec(
                hidden,
                norm,
                input.get(),
                all,
                finalNorm,
                prefix,
                className,
                classifier,
                usualTargets,
                own,
                EncoderOutput.of(model, own));
    }
}
