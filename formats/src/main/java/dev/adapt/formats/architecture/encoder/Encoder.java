package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.layer.DecoderLayer;
import dev.adapt.formats.layer.attention.DecoderContext;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.Predicate;

/**
 * The family of encoders: a stack of equal layers over the embeddings of words or of an image's patches, in which every
 * token sees all others. Its members, from BERT to DINOv2, differ in their {@link EncoderSpec}.
 */
public record Encoder(EncoderSpec spec) implements Architecture {
    @Override
    public <T> T forward(Layers<T> model, Map<String, T> inputs) {
        return outputs(model, inputs).firstEntry().getValue();
    }

    @Override
    public <T> SequencedMap<String, T> outputs(Layers<T> model, Map<String, T> inputs) {
        return spec.output().apply(model, spec, inputs, states(model, inputs));
    }

    /** The last token states, [batch, sequence, hidden]. */
    <T> T states(Layers<T> model, Map<String, T> inputs) {
        T states = spec.input().apply(model, inputs, spec.norm(), spec.hidden());
        DecoderContext<T> context = new DecoderContext<>(model, spec.input().visibility(model, inputs, states));
        T last = DecoderLayer.all(spec.layers(), model, context, states);
        return spec.finalNorm().isPresent()
                ? spec.norm().apply(model, last, spec.finalNorm().get(), spec.hidden())
                : last;
    }

    @Override
    public List<InputSpec> inputs() {
        return spec.input().inputs();
    }

    @Override
    public Optional<Tokens> tokens() {
        return spec.input().tokens();
    }

    @Override
    public int hidden() {
        return spec.hidden();
    }

    @Override
    public List<String> linearModules() {
        Set<String> modules = new LinkedHashSet<>();
        for (DecoderLayer layer : spec.layers()) {
            layer.layers().forEach(own -> modules.add(layer.name() + own.name()));
        }
        return new ArrayList<>(modules);
    }

    @Override
    public List<String> usualTargets() {
        return spec.usualTargets();
    }

    @Override
    public boolean reads(String module) {
        String weight = module + ".weight";
        return requiredTensors().containsKey(weight)
                || pooler().containsKey(weight)
                || tiedHead().filter(module::equals).isPresent();
    }

    @Override
    public SequencedMap<String, Shape> requiredTensors() {
        Tensors tensors = bodyTensors();
        spec.output().addTensors(tensors, spec);
        return tensors.shapes();
    }

    /** The tensors of the body, without the pooler. */
    Tensors bodyTensors() {
        Tensors tensors = new Tensors();
        spec.input().addTensors(tensors, spec.norm(), spec.hidden());
        spec.layers().forEach(layer -> layer.addTensors(tensors));
        spec.finalNorm().ifPresent(name -> spec.norm().addTensors(tensors, name, spec.hidden()));
        return tensors;
    }

    @Override
    public String prefix() {
        return spec.prefix();
    }

    @Override
    public boolean isOfHead(String canonical) {
        return spec.heads().own(canonical);
    }

    @Override
    public Optional<Head> head() {
        return spec.output().classes();
    }

    @Override
    public SequencedMap<String, Shape> headTensors(Head own) {
        Tensors tensors = new Tensors();
        EncoderOutput.addClasses(tensors, spec, own);
        return tensors.shapes();
    }

    @Override
    public Pooling ownPooling() {
        return spec.heads().own();
    }

    @Override
    public Pooling defaultPooling(Predicate<String> present) {
        boolean pooled =
                poolerModule().filter(own -> present.test(own + ".weight")).isPresent();
        return ownPooling() == Pooling.POOLER && !pooled ? Pooling.MEAN : ownPooling();
    }

    @Override
    public String classifierClass() {
        return spec.className() + spec.classifier();
    }

    @Override
    public Optional<String> wordTable() {
        return spec.words();
    }

    @Override
    public Optional<String> tiedHead() {
        return switch (spec.output().kind()) {
            case MASKED_WORDS, NEXT_WORDS, MASKED_WORDS_AND_NEXT_SENTENCE ->
                spec.heads().words().filter(EncoderHeads.Words::tied).map(EncoderHeads.Words::module);
            case SEQUENCE_CLASSES, TOKEN_CLASSES, ANSWERS, NEXT_SENTENCE, BARE -> Optional.empty();
        };
    }

    @Override
    public SequencedMap<String, Shape> pooler() {
        Tensors tensors = new Tensors();
        if (spec.output().kind() == EncoderOutput.Kind.BARE && spec.heads().poolerOfBody()) {
            spec.heads().pooler().ifPresent(own -> own.addTensors(tensors, spec.norm()));
        }
        return tensors.shapes();
    }

    @Override
    public Optional<String> poolerModule() {
        return spec.heads().pooler().map(own -> own.layer().name());
    }

    @Override
    public SequencedMap<String, Shape> poolerTensors() {
        Tensors tensors = new Tensors();
        spec.heads().pooler().ifPresent(own -> own.addTensors(tensors, spec.norm()));
        return tensors.shapes();
    }

    @Override
    public <T> T pooled(Layers<T> model, T states) {
        return spec.heads().pooler().orElseThrow().apply(model, Pooling.first(model.ops(), states), spec.norm());
    }

    @Override
    public SequencedMap<String, List<String>> outputs() {
        int vocabulary = tokens().map(Tokens::vocabulary).orElse(0);
        return spec.output().axes(spec.input().length(), spec.hidden(), vocabulary);
    }

    @Override
    public String outputName() {
        return outputs().firstEntry().getKey();
    }

    @Override
    public List<String> outputAxes() {
        return outputs().firstEntry().getValue();
    }
}
