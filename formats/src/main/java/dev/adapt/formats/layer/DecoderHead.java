package dev.adapt.formats.layer;

import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import java.util.List;
import java.util.Optional;

/**
 * What a decoder gives: logits of the next token, logits of a classification head for the sequence or for each token, or,
 * without any, its token states.
 *
 * @param kind which of these
 * @param classes the head of a classifier of sequences or of tokens
 */
public record DecoderHead(Kind kind, Optional<Head> classes) {
    public enum Kind {
        LANGUAGE,
        SEQUENCE_CLASSES,
        TOKEN_CLASSES,
        BARE
    }

    /**
     * The output that the class in a config's {@code architectures} has; without one, a language model's.
     *
     * @throws dev.adapt.formats.FormatException if that class has another head
     */
    public static DecoderHead of(ModelConfig config) {
        Optional<Head> head = config.head(Pooling.LAST);
        String name = config.className();
        if (head.isPresent()) {
            boolean tokens = head.get().pooling() == Pooling.TOKENS;
            return new DecoderHead(tokens ? Kind.TOKEN_CLASSES : Kind.SEQUENCE_CLASSES, head);
        }
        if (name.isEmpty()
                || name.endsWith("HeadModel")
                || name.endsWith("HeadsModel")
                || name.endsWith("ForCausalLM")
                || name.endsWith("ForConditionalGeneration")) {
            return new DecoderHead(Kind.LANGUAGE, Optional.empty());
        }
        if (!name.endsWith("Model")) {
            throw config.document()
                    .wrong(
                            "architectures",
                            "a model with a language modelling head, for sequence or token classification, or bare");
        }
        return new DecoderHead(Kind.BARE, Optional.empty());
    }

    /** Whether it gives logits of the next token. */
    public boolean language() {
        return kind == Kind.LANGUAGE;
    }

    private int labels() {
        return classes.orElseThrow().labels().size();
    }

    public String outputName() {
        return kind == Kind.BARE ? "last_hidden_state" : "logits";
    }

    public List<String> axes(int vocabulary, int hidden) {
        return switch (kind) {
            case LANGUAGE -> List.of("batch", "sequence", "" + vocabulary);
            case SEQUENCE_CLASSES -> List.of("batch", "" + labels());
            case TOKEN_CLASSES -> List.of("batch", "sequence", "" + labels());
            case BARE -> List.of("batch", "sequence", "" + hidden);
        };
    }
}
