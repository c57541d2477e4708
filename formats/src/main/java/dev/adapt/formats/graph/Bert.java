package dev.adapt.formats.graph;

import dev.adapt.formats.JsonDocument;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * BERT (Devlin et al., arXiv 1810.04805) as transformers' {@code BertModel} and {@code BertForSequenceClassification}
 * compute it, with the further poolings of {@link Pooling}.
 *
 * @param dropout on embeddings and on what each sublayer adds, while training
 * @param attentionDropout on the attention weights, while training
 */
public record Bert(
        int layers,
        int hidden,
        int heads,
        Activation activation,
        double epsilon,
        double dropout,
        double attentionDropout,
        Optional<Head> head)
        implements Architecture {
    private static final InputSpec IDS = new InputSpec("input_ids", List.of("batch", "sequence"));
    private static final InputSpec MASK = new InputSpec("attention_mask", List.of("batch", "sequence"));
    private static final InputSpec TYPES = new InputSpec("token_type_ids", List.of("batch", "sequence"));
    private static final Pattern TASK_PREFIX = Pattern.compile("^bert\\.");

    static Bert of(ModelConfig model) {
        JsonDocument config = model.document();
        int hidden = config.positive("hidden_size");
        int heads = config.positive("num_attention_heads");
        if (hidden % heads != 0) {
            throw config.wrong("num_attention_heads", "a divisor of hidden_size " + hidden);
        }
        String positions = config.string("position_embedding_type").orElse("absolute");
        if (!positions.equals("absolute")) {
            throw config.wrong("position_embedding_type", "\"absolute\", the only kind supported");
        }
        if (config.says("is_decoder")) {
            throw config.wrong("is_decoder", "false: BERT as a decoder is not supported");
        }
        return new Bert(
                config.positive("num_hidden_layers"),
                hidden,
                heads,
                Activation.named(config.string("hidden_act").orElse("gelu"))
                        .orElseThrow(() -> config.wrong("hidden_act", "gelu, gelu_new, relu, silu or tanh")),
                config.number("layer_norm_eps", 1e-12),
                config.number("hidden_dropout_prob", 0.1),
                config.number("attention_probs_dropout_prob", 0.1),
                model.head());
    }

    @Override
    public List<InputSpec> inputs() {
        return List.of(IDS, MASK, TYPES);
    }

    @Override
    public List<String> linearModules() {
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            for (String part : List.of(
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "intermediate.dense",
                    "output.dense")) {
                modules.add("encoder.layer." + i + "." + part);
            }
        }
        return modules;
    }

    @Override
    public List<String> requiredTensors() {
        List<String> modules = new ArrayList<>(linearModules());
        modules.add("embeddings.LayerNorm");
        for (int i = 0; i < layers; i++) {
            modules.add("encoder.layer." + i + ".attention.output.LayerNorm");
            modules.add("encoder.layer." + i + ".output.LayerNorm");
        }
        List<String> tensors = new ArrayList<>();
        for (String table : List.of("word", "position", "token_type")) {
            tensors.add("embeddings." + table + "_embeddings.weight");
        }
        for (String module : modules) {
            tensors.add(module + ".weight");
            tensors.add(module + ".bias");
        }
        head.ifPresent(own -> {
            tensors.add(Head.MODULE + ".weight");
            if (own.pooling() == Pooling.POOLER) {
                tensors.add("pooler.dense.weight");
            }
        });
        return tensors;
    }

    @Override
    public String canonical(String name) {
        String bare = TASK_PREFIX.matcher(name).replaceFirst("");
        // checkpoints converted from TensorFlow name LayerNorm's tensors this way
        if (bare.endsWith("LayerNorm.gamma")) {
            return bare.replace("LayerNorm.gamma", "LayerNorm.weight");
        }
        return bare.endsWith("LayerNorm.beta") ? bare.replace("LayerNorm.beta", "LayerNorm.bias") : bare;
    }

    @Override
    public Pooling defaultPooling(Predicate<String> present) {
        return present.test("pooler.dense.weight") ? Pooling.POOLER : Pooling.MEAN;
    }

    @Override
    public String outputName() {
        return head.isPresent() ? "logits" : "last_hidden_state";
    }

    @Override
    public List<String> outputAxes() {
        return head.isPresent() ? List.of("batch", "labels") : List.of("batch", "sequence", "hidden");
    }

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        T mask = model.ops().toFloat(input(inputs, MASK));
        T states = embeddings(model, inputs);
        T bias = attentionBias(model.ops(), mask);
        for (int i = 0; i < layers; i++) {
            states = layer(model, states, bias, "encoder.layer." + i);
        }
        return head.isPresent() ? logits(model, states, mask, head.get().pooling()) : states;
    }

    private <T> T embeddings(Layers<T> model, Map<String, T> inputs) {
        Ops<T> ops = model.ops();
        T ids = input(inputs, IDS);
        T words = model.embedding(ids, "embeddings.word_embeddings");
        T positions = model.embedding(ops.positions(ids), "embeddings.position_embeddings");
        T types = inputs.containsKey(TYPES.name())
                ? model.embedding(input(inputs, TYPES), "embeddings.token_type_embeddings")
                : model.row(0, "embeddings.token_type_embeddings");
        T sum = ops.add(ops.add(words, types), positions);
        return ops.dropout(model.layerNorm(sum, "embeddings.LayerNorm", epsilon), dropout);
    }

    /** [batch, 1, 1, sequence]: 0 where the mask keeps a token, the lowest float where it hides one. */
    private static <T> T attentionBias(Ops<T> ops, T mask) {
        return ops.reshape(ops.affine(mask, Float.MAX_VALUE, -Float.MAX_VALUE), 0, 1, 1, -1);
    }

    private <T> T layer(Layers<T> model, T states, T bias, String name) {
        Ops<T> ops = model.ops();
        T context = ops.attention(
                split(ops, model.linear(states, name + ".attention.self.query")),
                split(ops, model.linear(states, name + ".attention.self.key")),
                split(ops, model.linear(states, name + ".attention.self.value")),
                bias,
                1 / Math.sqrt((double) hidden / heads),
                attentionDropout);
        T joined = ops.reshape(ops.transpose(context, 0, 2, 1, 3), 0, 0, hidden);
        T attended = residual(model, joined, states, name + ".attention.output");
        T inner = ops.activation(model.linear(attended, name + ".intermediate.dense"), activation);
        return residual(model, inner, attended, name + ".output");
    }

    private <T> T split(Ops<T> ops, T states) {
        return ops.transpose(ops.reshape(states, 0, 0, heads, hidden / heads), 0, 2, 1, 3);
    }

    private <T> T residual(Layers<T> model, T x, T skipped, String name) {
        Ops<T> ops = model.ops();
        T added = ops.add(ops.dropout(model.linear(x, name + ".dense"), dropout), skipped);
        return model.layerNorm(added, name + ".LayerNorm", epsilon);
    }

    private <T> T logits(Layers<T> model, T states, T mask, Pooling pooling) {
        Ops<T> ops = model.ops();
        T pooled = switch (pooling) {
            case CLS -> first(ops, states);
            case POOLER -> ops.activation(model.linear(first(ops, states), "pooler.dense"), Activation.TANH);
            case MEAN -> {
                T kept = ops.mul(states, ops.reshape(mask, 0, -1, 1));
                T sum = ops.reshape(ops.sum(kept, 1), 0, hidden);
                yield ops.div(sum, ops.sum(mask, 1));
            }
        };
        return model.linear(ops.dropout(pooled, dropout), Head.MODULE);
    }

    private <T> T first(Ops<T> ops, T states) {
        return ops.reshape(ops.slice(states, 1, 0, 1), 0, hidden);
    }

    private static <T> T input(Map<String, T> inputs, InputSpec spec) {
        T input = inputs.get(spec.name());
        if (input == null) {
            throw new IllegalArgumentException("BERT needs the input " + spec.name());
        }
        return input;
    }
}
