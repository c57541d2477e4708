package dev.adapt.formats.graph;

import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * RoBERTa (Liu et al., arXiv 1907.11692) and XLM-RoBERTa as transformers' {@code RobertaModel} and
 * {@code RobertaForSequenceClassification} compute them: BERT's encoder, positions counted from the padding id, one token
 * type, and a head of two layers.
 *
 * @param padding the id of padding tokens, which have no position of their own
 */
public record Roberta(BertEncoder encoder, int padding, String classifierClass, Optional<Head> head)
        implements Architecture {
    private static final String DENSE = Head.MODULE + ".dense";
    private static final String OUT = Head.MODULE + ".out_proj";

    static Roberta of(ModelConfig model) {
        JsonDocument config = model.document();
        BertEncoder encoder = BertEncoder.of(config);
        int padding = (int) config.number("pad_token_id", 1);
        if (padding < 0 || padding + 1 >= encoder.positions()) {
            throw config.wrong("pad_token_id", "a token id below the last of max_position_embeddings");
        }
        String name = model.modelType().equals("roberta") ? "Roberta" : "XLMRoberta";
        return new Roberta(encoder, padding, name + "ForSequenceClassification", model.head(Pooling.CLS));
    }

    @Override
    public List<InputSpec> inputs() {
        return List.of(InputSpec.IDS, InputSpec.MASK);
    }

    @Override
    public Optional<Tokens> tokens() {
        return Optional.of(new Tokens(encoder.vocabulary(), encoder.positions() - padding - 1, 1));
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
        head.ifPresent(own -> tensors.addAll(headTensors(own)));
        return tensors.shapes();
    }

    @Override
    public Optional<String> wordTable() {
        return Optional.of("embeddings.word_embeddings");
    }

    @Override
    public String prefix() {
        return "roberta.";
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        return new Tensors()
                .linear(DENSE, hidden(), hidden())
                .linear(OUT, own.labels().size(), hidden())
                .shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.CLS;
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
        T types = model.row(0, "embeddings.token_type_embeddings");
        T states = encoder.forward(model, ids, positions(model.ops(), ids), types, mask);
        return head.isPresent() ? logits(model, states, mask, head.get().pooling()) : states;
    }

    /** Padding tokens have the position {@code padding}, the others count on from it: by their ids, whatever the mask. */
    private <T> T positions(Ops<T> ops, T ids) {
        T words = ops.not(ops.equal(ids, ops.integer(padding)));
        return ops.add(ops.mul(ops.cumSum(words, 1), words), ops.integer(padding));
    }

    private <T> T logits(Layers<T> model, T states, T mask, Pooling pooling) {
        Ops<T> ops = model.ops();
        T pooled = ops.dropout(pooling.pool(ops, states, mask), encoder.headDropout());
        T inner = ops.activation(model.linear(pooled, DENSE), Activation.TANH);
        return model.linear(ops.dropout(inner, encoder.headDropout()), OUT);
    }
}
