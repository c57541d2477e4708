package dev.adapt.formats.graph;

import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Predicate;

/**
 * BERT (Devlin et al., arXiv 1810.04805) as transformers' {@code BertModel} and {@code BertForSequenceClassification}
 * compute it, with the further poolings of {@link Pooling}.
 */
public record Bert(BertEncoder encoder, Optional<Head> head) implements Architecture {
    private static final InputSpec TYPES = InputSpec.integers("token_type_ids", "sequence");

    static Bert of(ModelConfig model) {
        return new Bert(BertEncoder.of(model.document()), model.head(Pooling.POOLER));
    }

    @Override
    public List<InputSpec> inputs() {
        return List.of(InputSpec.IDS, InputSpec.MASK, TYPES);
    }

    @Override
    public Optional<Tokens> tokens() {
        return Optional.of(new Tokens(encoder.vocabulary(), encoder.positions(), encoder.types()));
    }

    @Override
    public int hidden() {
        return encoder.hidden();
    }

    @Override
    public List<String> usualTargets() {
        return List.of("query", "value");
    }

    @Override
    public List<String> linearModules() {
        return encoder.linearModules();
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        Tensors tensors = encoder.tensors();
        head.ifPresent(own -> {
            tensors.addAll(headTensors(own));
            if (own.pooling() == Pooling.POOLER) {
                tensors.linear(Tensors.POOLER, hidden(), hidden());
            }
        });
        return tensors.shapes();
    }

    @Override
    public String prefix() {
        return "bert.";
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        return new Tensors().linear(Head.MODULE, own.labels().size(), hidden()).shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.POOLER;
    }

    @Override
    public String classifierClass() {
        return "BertForSequenceClassification";
    }

    @Override
    public Optional<String> wordTable() {
        return Optional.of("embeddings.word_embeddings");
    }

    @Override
    public Pooling defaultPooling(Predicate<String> present) {
        return present.test(Tensors.POOLER + ".weight") ? Pooling.POOLER : Pooling.MEAN;
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
                .orElse(List.of("batch", "sequence", "" + hidden()));
    }

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        T ids = Layers.input(inputs, InputSpec.IDS);
        T mask = Layers.input(inputs, InputSpec.MASK);
        T types = inputs.containsKey(TYPES.name())
                ? model.embedding(Layers.input(inputs, TYPES), "embeddings.token_type_embeddings")
                : model.row(0, "embeddings.token_type_embeddings");
        T states = encoder.forward(model, ids, model.ops().positions(ids), types, mask);
        return head.isPresent() ? logits(model, states, mask, head.get().pooling()) : states;
    }

    private <T> T logits(Layers<T> model, T states, T mask, Pooling pooling) {
        Ops<T> ops = model.ops();
        T pooled = pooling.pool(ops, states, mask);
        if (pooling == Pooling.POOLER) {
            pooled = ops.activation(model.linear(pooled, Tensors.POOLER), Activation.TANH);
        }
        return model.linear(ops.dropout(pooled, encoder.headDropout()), Head.MODULE);
    }
}
