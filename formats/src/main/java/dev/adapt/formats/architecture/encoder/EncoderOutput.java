package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tensors;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What the class that a config names puts on its encoder.
 *
 * @param kind the head, or none
 * @param classes the head of a classifier of sequences or of tokens
 */
record EncoderOutput(Kind kind, Optional<Head> classes) {
    enum Kind {
        SEQUENCE_CLASSES,
        TOKEN_CLASSES(ModelConfig.TOKEN_CLASSES),
        ANSWERS("ForQuestionAnswering"),
        MASKED_WORDS("ForMaskedLM"),
        NEXT_WORDS("LMHeadModel", "ForCausalLM"),
        NEXT_SENTENCE("ForNextSentencePrediction"),
        MASKED_WORDS_AND_NEXT_SENTENCE("ForPreTraining"),
        BARE("Model");

        @SuppressWarnings("ImmutableEnumChecker") // List.of makes immutable lists
        private final List<String> endings;

        Kind(String... endings) {
            this.endings = List.of(endings);
        }

        private boolean isOf(String className) {
            return endings.stream().anyMatch(className::endsWith);
        }
    }

    static final String LOGITS = "logits";
    static final String STATES = "last_hidden_state";
    static final String STARTS = "start_logits";
    static final String ENDS = "end_logits";
    static final String WORDS = "prediction_logits";
    static final String NEXT = "seq_relationship_logits";

    /**
     * The output of the class in a config's {@code architectures}; without one, the bare encoder's.
     *
     * @throws dev.adapt.formats.FormatException if that class has a head that the family's data do not describe
     */
    static EncoderOutput of(ModelConfig config, EncoderHeads heads) {
        Optional<Head> classes = config.head(heads.own());
        if (classes.isPresent()) {
            Pooling pooling = classes.get().pooling();
            if (pooling == Pooling.POOLER && heads.pooler().isEmpty()) {
                throw config.document().wrong("adapt_pooling", "mean or cls: this model_type has no pooler");
            }
            return new EncoderOutput(pooling == Pooling.TOKENS ? Kind.TOKEN_CLASSES : Kind.SEQUENCE_CLASSES, classes);
        }
        String name = config.className();
        // the bare model last: every LMHeadModel ends with Model
        Kind kind = name.isEmpty()
                ? Kind.BARE
                : Stream.of(Kind.values())
                        .filter(each -> each.isOf(name))
                        .findFirst()
                        .filter(each -> isDescribed(each, heads))
                        .orElseThrow(() -> config.document()
                                .wrong(
                                        "architectures",
                                        "a class whose head adapt can compute for this model_type ("
                                                + described(heads)
                                                + "); a checkpoint of " + name + " can be merged only"));
        return new EncoderOutput(kind, Optional.empty());
    }

    private static boolean isDescribed(Kind kind, EncoderHeads heads) {
        return switch (kind) {
            case SEQUENCE_CLASSES, BARE -> true;
            // images have no tokens to tell
            case TOKEN_CLASSES, ANSWERS, MASKED_WORDS, NEXT_WORDS ->
                heads.words().isPresent();
            case NEXT_SENTENCE -> heads.next().isPresent();
            case MASKED_WORDS_AND_NEXT_SENTENCE ->
                heads.words().isPresent() && heads.next().isPresent();
        };
    }

    private static String described(EncoderHeads heads) {
        return Stream.of(Kind.values())
                .filter(each -> each != Kind.SEQUENCE_CLASSES && isDescribed(each, heads))
                .flatMap(each -> each.endings.stream())
                .map(ending -> "…" + ending)
                .collect(Collectors.joining(", ", "a classifier of sequences or images, ", ""));
    }

    /** The outputs by name, the most important first, each with its axes. */
    SequencedMap<String, List<String>> axes(String length, int hidden, int vocabulary) {
        SequencedMap<String, List<String>> axes = new LinkedHashMap<>();
        switch (kind) {
            case SEQUENCE_CLASSES -> axes.put(LOGITS, List.of("batch", "" + labels()));
            case TOKEN_CLASSES -> axes.put(LOGITS, List.of("batch", length, "" + labels()));
            case ANSWERS -> {
                axes.put(STARTS, List.of("batch", length));
                axes.put(ENDS, List.of("batch", length));
            }
            case MASKED_WORDS, NEXT_WORDS -> axes.put(LOGITS, List.of("batch", length, "" + vocabulary));
            case NEXT_SENTENCE -> axes.put(LOGITS, List.of("batch", "2"));
            case MASKED_WORDS_AND_NEXT_SENTENCE -> {
                axes.put(WORDS, List.of("batch", length, "" + vocabulary));
                axes.put(NEXT, List.of("batch", "2"));
            }
            case BARE -> axes.put(STATES, List.of("batch", length, "" + hidden));
        }
        return axes;
    }

    /** Adds the tensors of the head. */
    void addTensors(Tensors tensors, EncoderSpec spec) {
        EncoderHeads heads = spec.heads();
        int hidden = spec.hidden();
        switch (kind) {
            case SEQUENCE_CLASSES -> {
                addClasses(tensors, spec, classes.orElseThrow());
                if (classes.get().pooling() == Pooling.POOLER) {
                    addPooler(tensors, spec);
                }
            }
            case TOKEN_CLASSES -> addClasses(tensors, spec, classes.orElseThrow());
            case ANSWERS -> {
                addInner(tensors, spec);
                tensors.linear(heads.answers(), 2, hidden);
            }
            case MASKED_WORDS, NEXT_WORDS -> addWords(tensors, spec);
            case NEXT_SENTENCE -> addNext(tensors, spec);
            case MASKED_WORDS_AND_NEXT_SENTENCE -> {
                addWords(tensors, spec);
                addNext(tensors, spec);
            }
            case BARE -> {}
        }
    }

    static void addClasses(Tensors tensors, EncoderSpec spec, Head head) {
        EncoderHeads heads = spec.heads();
        int labels = head.labels().size();
        if (head.pooling() == Pooling.TOKENS) {
            addInner(tensors, spec);
            tensors.linear(Head.MODULE, labels, spec.hidden());
        } else {
            heads.inner().ifPresent(own -> own.addTensors(tensors, spec.norm()));
            tensors.linear(heads.classes(), labels, (heads.meanBeside() ? 2L : 1L) * spec.hidden());
        }
    }

    private int labels() {
        return classes.orElseThrow().labels().size();
    }

    private static void addPooler(Tensors tensors, EncoderSpec spec) {
        spec.heads().pooler().orElseThrow().addTensors(tensors, spec.norm());
    }

    private static void addInner(Tensors tensors, EncoderSpec spec) {
        if (spec.heads().innerForTokens()) {
            spec.heads().inner().orElseThrow().addTensors(tensors, spec.norm());
        }
    }

    private static void addWords(Tensors tensors, EncoderSpec spec) {
        EncoderHeads.Words own = spec.heads().words().orElseThrow();
        int vocabulary = spec.input().tokens().orElseThrow().vocabulary();
        own.stage().addTensors(tensors, spec.norm());
        if (!own.tied()) {
            tensors.matrix(own.module(), vocabulary, own.stage().layer().out());
        }
        own.bias().ifPresent(bias -> tensors.add(bias, vocabulary));
    }

    private static void addNext(Tensors tensors, EncoderSpec spec) {
        addPooler(tensors, spec);
        tensors.linear(spec.heads().next().orElseThrow(), 2, spec.hidden());
    }

    /**
     * The outputs of {@link #axes}.
     *
     * @param states [batch, sequence, hidden]
     */
    <T> SequencedMap<String, T> apply(Layers<T> model, EncoderSpec spec, Map<String, T> inputs, T states) {
        Ops<T> ops = model.ops();
        SequencedMap<String, T> outputs = new LinkedHashMap<>();
        switch (kind) {
            case SEQUENCE_CLASSES -> outputs.put(LOGITS, classes(model, spec, inputs, states));
            case TOKEN_CLASSES -> outputs.put(LOGITS, ofTokens(model, spec, states, Head.MODULE));
            case ANSWERS -> {
                T both = ofTokens(model, spec, states, spec.heads().answers());
                outputs.put(STARTS, ops.reshape(ops.slice(both, 2, 0, 1), 0, -1));
                outputs.put(ENDS, ops.reshape(ops.slice(both, 2, 1, 2), 0, -1));
            }
            case MASKED_WORDS, NEXT_WORDS -> outputs.put(LOGITS, words(model, spec, states));
            case NEXT_SENTENCE -> outputs.put(LOGITS, next(model, spec, states));
            case MASKED_WORDS_AND_NEXT_SENTENCE -> {
                outputs.put(WORDS, words(model, spec, states));
                outputs.put(NEXT, next(model, spec, states));
            }
            case BARE -> outputs.put(STATES, states);
        }
        return outputs;
    }

    private <T> T classes(Layers<T> model, EncoderSpec spec, Map<String, T> inputs, T states) {
        Ops<T> ops = model.ops();
        EncoderHeads heads = spec.heads();
        Pooling pooling = classes.orElseThrow().pooling();
        T pooled = spec.input()
                .mask(inputs)
                .map(mask -> pooling.pool(ops, states, mask))
                .orElseGet(() -> Pooling.first(ops, states));
        if (heads.meanBeside()) {
            pooled = ops.concat(1, List.of(pooled, meanOfOthers(ops, spec, states)));
        }
        if (pooling == Pooling.POOLER) {
            pooled = heads.pooler().orElseThrow().apply(model, pooled, spec.norm());
        }
        T dropped = ops.dropout(pooled, heads.dropout());
        T read = heads.inner().isPresent()
                ? ops.dropout(heads.inner().get().apply(model, dropped, spec.norm()), heads.dropout())
                : dropped;
        return model.linear(read, heads.classes());
    }

    private static <T> T meanOfOthers(Ops<T> ops, EncoderSpec spec, T states) {
        int count = Integer.parseInt(spec.input().length());
        T sum = ops.sum(ops.slice(states, 1, 1, count), 1);
        return ops.reshape(ops.affine(sum, 1.0 / (count - 1), 0), 0, -1);
    }

    private static <T> T ofTokens(Layers<T> model, EncoderSpec spec, T states, String module) {
        EncoderHeads heads = spec.heads();
        T read = heads.innerForTokens() ? heads.inner().orElseThrow().apply(model, states, spec.norm()) : states;
        return model.linear(model.ops().dropout(read, heads.dropout()), module);
    }

    private static <T> T words(Layers<T> model, EncoderSpec spec, T states) {
        EncoderHeads.Words own = spec.heads().words().orElseThrow();
        T read = own.stage().apply(model, states, spec.norm());
        String table = own.tied() ? spec.words().orElseThrow() : own.module();
        T logits = model.linear(read, own.module(), table);
        // the last layer's own bias, where a checkpoint has both, is the same one
        boolean added = model.has(own.module() + ".bias") || own.bias().isEmpty();
        return added ? logits : model.ops().add(logits, model.weight(own.bias().get()));
    }

    private static <T> T next(Layers<T> model, EncoderSpec spec, T states) {
        EncoderHeads heads = spec.heads();
        T first = Pooling.first(model.ops(), states);
        return model.linear(
                heads.pooler().orElseThrow().apply(model, first, spec.norm()),
                heads.next().orElseThrow());
    }
}
