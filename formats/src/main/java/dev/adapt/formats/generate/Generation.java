package dev.adapt.formats.generate;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.model.Model;
import java.util.Arrays;
import java.util.Set;
import java.util.function.IntConsumer;

/**
 * How a model continues a text.
 *
 * @param most how many tokens to add at most
 * @param ends the tokens that end the text, and are not part of it
 */
public record Generation(Sampler sampler, int most, Set<Long> ends) {
    public Generation {
        ends = Set.copyOf(ends);
        if (most < 1) {
            throw new IllegalArgumentException("expected at least one token to add, found " + most);
        }
    }

    /**
     * Continues a text.
     *
     * @param prompt the text so far, one token or more
     * @param added told each token as it is chosen
     * @return the tokens after the prompt
     * @throws FormatException if the model does not give numbers
     */
    public long[] run(Decoder decoder, long[] prompt, IntConsumer added) {
        long[] text = new long[most];
        long[] fresh = prompt;
        for (int step = 0; step < most; step++) {
            int token = next(decoder, decoder.append(fresh), step);
            if (ends.contains((long) token)) {
                return Arrays.copyOf(text, step);
            }
            text[step] = token;
            added.accept(token);
            fresh = new long[] {token};
        }
        return text;
    }

    private int next(Decoder decoder, float[] logits, int step) {
        try {
            return sampler.choose(logits, step);
        } catch (IllegalArgumentException e) {
            throw new FormatException(
                    decoder.source(),
                    "cannot go on after " + step + " new tokens: " + e.getMessage()
                            + "; its weights, or its adapter's, are broken",
                    e);
        }
    }

    /**
     * Refuses a model without a language modelling head.
     *
     * @throws FormatException if it gives no logits of a next token
     */
    public static void requireLanguageModel(Model model) {
        if (model.architecture().cache().isEmpty()) {
            throw model.config()
                    .document()
                    .wrong(
                            "architectures",
                            "a language model such as LlamaForCausalLM or GPT2LMHeadModel, to generate text");
        }
    }
}
