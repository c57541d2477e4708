package dev.adapt.train.data;

import java.util.List;
import java.util.Locale;

/**
 * How much of a data set the limit on an example's length cut off.
 *
 * @param examples how many examples there are
 * @param cut how many of them lost their end
 * @param responses how many of those lost the end of a response, or all of it
 * @param longest the limit, in tokens
 */
public record Truncation(int examples, int cut, int responses, int longest) {
    /** Of sequences that know whether they were cut, none of which has a response. */
    public static Truncation of(List<Sequence> sequences, int longest) {
        return new Truncation(
                sequences.size(), (int) sequences.stream().filter(Sequence::cut).count(), 0, longest);
    }

    /** Nothing was cut. */
    public static Truncation none(int examples) {
        return new Truncation(examples, 0, 0, Integer.MAX_VALUE);
    }

    /** For people: "8 of 40 examples were cut to 128 tokens". */
    public String text(String kind) {
        String text = String.format(
                Locale.ROOT, "%,d of %,d %s examples were cut to %,d tokens", cut, examples, kind, longest);
        return responses == 0
                ? text
                : text
                        + String.format(
                                Locale.ROOT, ", %,d of them within the response, whose end is not learned", responses);
    }
}
