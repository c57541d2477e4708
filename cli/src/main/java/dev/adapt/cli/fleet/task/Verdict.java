package dev.adapt.cli.fleet.task;

import java.util.Locale;

/** What became of one adapter. */
public enum Verdict {
    /** Its output was written. */
    OK,
    /** The output of an earlier run is still what that run recorded. */
    KEPT,
    /** Its output was written, and says that a verification or a figure did not pass. */
    DIFFERENT,
    /** There is no output; the error says why. */
    FAILED;

    /** As JSON has it. */
    public String key() {
        return name().toLowerCase(Locale.ROOT);
    }
}
