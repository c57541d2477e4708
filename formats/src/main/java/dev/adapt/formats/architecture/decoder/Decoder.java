package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.layer.DecoderHead;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.DecoderSpec;
import dev.adapt.formats.layer.attention.Causal;
import dev.adapt.formats.layer.attention.DecoderContext;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * The family of causal language models: a stack of equal layers between an embedding table and a head. Its members, from
 * GPT-2 to mixtures of experts, differ in their {@link DecoderSpec}.
 */
public record Decoder(DecoderSpec spec) implements Architecture {
    /** The canonical name of the language modelling head in most members. */
    static final String LM_HEAD = "lm_head";

    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        return unfinished(model, inputs).output();
    }

    @Override
    public <T> Unfinished<T> unfinished(Layers<T> model, Map<String, T> inputs) {
        Causal<T> causal = Causal.of(model, inputs);
        DecoderContext<T> context = new DecoderContext<>(model, causal);
        T first = spec.embedding().apply(model, causal, spec.norm(), spec.hidden());
        T states = DecoderLayer.all(spec.layers(), model, context, first);
        T normed = spec.finalNorm().isPresent()
                ? spec.norm().apply(model, states, spec.finalNorm().get(), spec.hidden())
                : states;
        return switch (spec.head().kind()) {
            case LANGUAGE -> new Unfinished<>(projected(model, normed), rows -> logits(model, rows));
            case SEQUENCE_CLASSES -> {
                Pooling pooling = spec.head().classes().orElseThrow().pooling();
                T pooled = pooling.pool(model.ops(), projected(model, normed), causal.mask());
                yield Unfinished.whole(model.linear(pooled, Head.SCORE));
            }
            case TOKEN_CLASSES -> Unfinished.whole(model.linear(normed, spec.tokenClassifier()));
            case BARE -> Unfinished.whole(projected(model, normed));
        };
    }

    private <T> T projected(Layers<T> model, T states) {
        return spec.projection().isPresent() ? spec.projection().get().apply(model, "", states) : states;
    }

    private <T> T logits(Layers<T> model, T states) {
        Ops<T> ops = model.ops();
        DecoderSpec.Logits head = spec.logits();
        T logits = model.linear(
                states, head.module(), head.tied() ? spec.embedding().words() : head.module());
        T scaled = head.scale() == 1 ? logits : ops.affine(logits, head.scale(), 0);
        if (head.cap().isEmpty()) {
            return scaled;
        }
        double cap = head.cap().get();
        return ops.affine(ops.activation(ops.affine(scaled, 1 / cap, 0), Activation.TANH), cap, 0);
    }

    @Override
    public List<InputSpec> inputs() {
        return List.of(InputSpec.IDS, InputSpec.MASK);
    }

    @Override
    public Optional<Tokens> tokens() {
        return Optional.of(spec.tokens());
    }

    @Override
    public Optional<CacheSpec> cache() {
        int count = spec.layers().size();
        return spec.head().language()
                ? Optional.of(spec.layers().getFirst().attention().cache(count))
                : Optional.empty();
    }

    @Override
    public int hidden() {
        return spec.hidden();
    }

    @Override
    public List<String> linearModules() {
        List<String> modules = new ArrayList<>();
        for (DecoderLayer layer : spec.layers()) {
            layer.layers().forEach(own -> modules.add(layer.name() + own.name()));
        }
        return modules;
    }

    @Override
    public List<String> expertStacks() {
        return spec.layers().stream()
                .flatMap(layer -> layer.feedForward().stacks().stream().map(own -> layer.name() + own))
                .toList();
    }

    @Override
    public List<String> usualTargets() {
        return spec.usualTargets();
    }

    @Override
    public boolean transposed(String module) {
        return spec.layers().stream()
                .filter(layer -> module.startsWith(layer.name()))
                .flatMap(layer -> layer.layers().stream().filter(own -> module.equals(layer.name() + own.name())))
                .anyMatch(LinearLayer::transposed);
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        Tensors tensors = new Tensors();
        spec.embedding().addTensors(tensors, spec.tokens().vocabulary(), spec.hidden(), spec.norm());
        spec.layers().forEach(layer -> layer.addTensors(tensors));
        spec.finalNorm().ifPresent(name -> spec.norm().addTensors(tensors, name, spec.hidden()));
        spec.projection().ifPresent(own -> own.addTensors(tensors, ""));
        switch (spec.head().kind()) {
            case LANGUAGE -> addLogits(tensors);
            case SEQUENCE_CLASSES, TOKEN_CLASSES ->
                tensors.addAll(headTensors(spec.head().classes().orElseThrow()));
            case BARE -> {}
        }
        return tensors.shapes();
    }

    private void addLogits(Tensors tensors) {
        DecoderSpec.Logits own = spec.logits();
        if (!own.tied()) {
            tensors.matrix(
                    own.module(), spec.tokens().vocabulary(), spec.embedding().width());
        }
        if (own.biased()) {
            tensors.add(own.module() + ".bias", spec.tokens().vocabulary());
        }
    }

    @Override
    public String prefix() {
        return spec.prefix();
    }

    @Override
    public Optional<Head> head() {
        return spec.head().classes();
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        int labels = own.labels().size();
        Tensors tensors = new Tensors();
        return own.pooling() == Pooling.TOKENS
                ? tensors.linear(spec.tokenClassifier(), labels, spec.hidden()).shapes()
                : tensors.matrix(Head.SCORE, labels, spec.embedding().width()).shapes();
    }

    @Override
    public Pooling ownPooling() {
        return Pooling.LAST;
    }

    @Override
    public String classifierClass() {
        return spec.className() + "ForSequenceClassification";
    }

    @Override
    public Optional<String> wordTable() {
        return Optional.of(spec.embedding().words());
    }

    @Override
    public Optional<String> tiedHead() {
        return spec.logits().tied() && spec.head().language()
                ? Optional.of(spec.logits().module())
                : Optional.empty();
    }

    @Override
    public String outputName() {
        return spec.head().outputName();
    }

    @Override
    public List<String> outputAxes() {
        int width =
                spec.head().kind() == DecoderHead.Kind.BARE ? spec.embedding().width() : spec.hidden();
        return spec.head().axes(spec.tokens().vocabulary(), width);
    }
}
