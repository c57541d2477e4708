package dev.adapt.cli.predict;

import dev.adapt.cli.terminal.Terminal;
import java.util.Arrays;
import java.util.function.Function;
import java.util.stream.LongStream;

/** A text on standard output that grows token by token; where no person watches, it is printed when it is whole. */
final class StreamedText {
    /** What decoders give for bytes that are no whole character yet. */
    private static final char INCOMPLETE = '\ufffd';

    private final Function<long[], String> decoder;
    private final boolean watched;
    private long[] tokens;
    private int shown;

    /**
     * @param decoder the text of tokens
     * @param first the tokens that it begins with
     * @param watched whether to print it as it grows
     */
    StreamedText(Function<long[], String> decoder, long[] first, boolean watched) {
        this.decoder = decoder;
        this.tokens = first;
        this.watched = watched;
    }

    void add(long token) {
        tokens = LongStream.concat(Arrays.stream(tokens), LongStream.of(token)).toArray();
        if (watched) {
            String text = decoder.apply(tokens);
            if (!text.isEmpty() && text.charAt(text.length() - 1) != INCOMPLETE) {
                print(text);
            }
        }
    }

    /** Prints what is left, and ends the line. */
    void end() {
        print(decoder.apply(tokens) + "\n");
    }

    private void print(String text) {
        Terminal.lines(text.substring(Math.min(shown, text.length())));
        Terminal.flush();
        shown = text.length();
    }
}
