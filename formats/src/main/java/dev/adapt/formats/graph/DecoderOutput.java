package dev.adapt.formats.graph;

import java.util.List;
import java.util.Optional;

/**
 * What a decoder gives: logits of the next token, logits of a classification head, or, without either, its token states.
 *
 * @param language whether it has a language modelling head
 */
record DecoderOutput(boolean language, Optional<Head> head) {
    /** The canonical name of the language modelling head where it is not tied to the table of words. */
    static final String LM_HEAD = "lm_head";

    /**
     * The output that the class in a config's {@code architectures} has; without one, a language model's.
     *
     * @throws dev.adapt.formats.FormatException if that class has another head
     */
    static DecoderOutput of(ModelConfig config) {
        Optional<Head> head = config.head(Pooling.LAST);
        String name = config.className();
        boolean language = name.isEmpty() || name.endsWith("LMHeadModel") || name.endsWith("ForCausalLM");
        if (!language && head.isEmpty() && !name.endsWith("Model")) {
            throw config.document()
                    .wrong(
                            "architectures",
                            "a model with a language modelling head, for sequence classification, or bare");
        }
        return new DecoderOutput(language && head.isEmpty(), head);
    }

    /** The tensors of a body with those of its head. */
    Tensors tensors(Tensors body, boolean tied, int vocabulary, int hidden) {
        if (head.isPresent()) {
            return body.matrix(Head.SCORE, head.get().labels().size(), hidden);
        }
        return language && !tied ? body.matrix(LM_HEAD, vocabulary, hidden) : body;
    }

    /** What a language model keeps; nothing where there is no next token. */
    Optional<CacheSpec> cache(CacheSpec kept) {
        return language ? Optional.of(kept) : Optional.empty();
    }

    String name() {
        return language || head.isPresent() ? "logits" : "last_hidden_state";
    }

    List<String> axes(int vocabulary, int hidden) {
        return head.map(own -> List.of("batch", "" + own.labels().size()))
                .orElse(List.of("batch", "sequence", "" + (language ? vocabulary : hidden)));
    }

    /**
     * @param states [batch, sequence, hidden]
     * @param mask integers [batch, sequence]
     * @param table the module whose weight is the language modelling head
     */
    <T> T apply(Layers<T> model, T states, T mask, String table) {
        if (head.isPresent()) {
            return model.linear(head.get().pooling().pool(model.ops(), states, mask), Head.SCORE);
        }
        return language ? model.linear(states, LM_HEAD, table) : states;
    }
}
