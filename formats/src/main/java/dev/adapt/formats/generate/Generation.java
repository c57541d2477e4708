package dev.adapt.formats.generate;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.model.Model;
import java.util.Arrays;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.LongStream;

/**
 * How a model continues a text.
 *
 * @param most how many tokens to add at most
 * @param ends the tokens that end the text, and are not part of it
 * @param rebuiltAfter see {@link CacheSpec#rebuiltAfter}
 */
public record Generation(Sampler sampler, int most, Set<Long> ends, OptionalInt rebuiltAfter) {
    public Generation {
        ends = Set.copyOf(ends);
        if (most < 1) {
            throw new IllegalArgumentException("expected at least one token to add, found " + most);
        }
    }

    /** Generation by a model whose earlier keys serve however long the text grows. */
    public Generation(Sampler sampler, int most, Set<Long> ends) {
        this(sampler, most, ends, OptionalInt.empty());
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
            fresh = fresh(decoder, prompt, text, step + 1);
        }
        return text;
    }

    /** What the decoder is given next: the last token, or all of the text where its keys turn otherwise from now on. */
    private long[] fresh(Decoder decoder, long[] prompt, long[] text, int added) {
        if (rebuiltAfter.isPresent() && prompt.length + added == rebuiltAfter.getAsInt() + 1) {
            decoder.restart();
            return LongStream.concat(Arrays.stream(prompt), Arrays.stream(text, 0, added))
                    .toArray();
        }
        return new long[] {text[added - 1]};
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
