package dev.adapt.train.tokenizer;

import dev.adapt.formats.FormatException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What Jazzer runs on the check of tokenizer.json: the input is the file, and once more a pattern. A pattern that was
 * accepted is tried with Java's backtracking matcher, whose steps are counted.
 */
public final class TokenizerHarness {
    private static final Path FILE = Path.of(TokenizerFile.NAME);
    private static final int LENGTH = 4000;
    private static final int STEPS = 1000;

    private TokenizerHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) {
        try {
            TokenizerFile.parse(FILE, input);
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(FILE.toString())) {
                throw new AssertionError("names no file", declared);
            }
        }
        String pattern = new String(input, StandardCharsets.UTF_8);
        if (Backtracking.fault(pattern).isEmpty()) {
            match(pattern);
        }
    }

    private static void match(String pattern) {
        Pattern java;
        try {
            java = Pattern.compile(pattern, Pattern.UNICODE_CHARACTER_CLASS);
        } catch (PatternSyntaxException e) {
            return;
        }
        for (String unit : new String[] {"a", " ", "ab", "1"}) {
            Matcher matcher = java.matcher(new Counted(unit.repeat(LENGTH / unit.length()) + "\u0001", new int[1]));
            try {
                matcher.lookingAt();
            } catch (StackOverflowError e) {
                return; // Java recurses, Oniguruma does not
            }
        }
    }

    /** A text that counts how often it is looked at. */
    @SuppressWarnings("ArrayRecordComponent")
    private record Counted(String text, int[] steps) implements CharSequence {
        @Override
        public char charAt(int index) {
            if (++steps[0] > LENGTH * STEPS) {
                throw new AssertionError("takes more than " + STEPS + " steps a character");
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }

        @Override
        public String toString() {
            return text;
        }
    }
}
