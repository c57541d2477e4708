package dev.adapt.train.template;

import java.util.OptionalInt;

/** Why a template cannot be parsed or rendered; {@link Template} adds the file. */
final class TemplateFault extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private static final int LONGEST = 400;

    private final int line;

    TemplateFault(String reason) {
        this(0, reason);
    }

    /**
     * @param line counted from 1, or 0 where it is not known yet
     */
    TemplateFault(int line, String reason) {
        super(printable(reason), null, false, false);
        this.line = line;
    }

    /** This fault at {@code place}, unless its line is known. */
    TemplateFault at(int place) {
        return line > 0 ? this : new TemplateFault(place, reason());
    }

    OptionalInt line() {
        return line > 0 ? OptionalInt.of(line) : OptionalInt.empty();
    }

    String reason() {
        return String.valueOf(getMessage());
    }

    /** One short line for a terminal: templates choose parts of a reason. */
    private static String printable(String reason) {
        int end = Math.min(reason.length(), LONGEST);
        String start = reason.substring(0, end).replaceAll("[\\p{Cntrl}\\p{Cf}\\s]+", " ");
        return end < reason.length() ? start + "..." : start;
    }
}
