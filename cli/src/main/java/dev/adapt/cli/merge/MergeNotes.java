package dev.adapt.cli.merge;

import dev.adapt.merge.engine.LostChanges;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;

/** What a user should know of a merge and did not ask for, in sentences. */
public final class MergeNotes {
    private MergeNotes() {}

    /** An adapter that does not say what it was trained on. */
    public static String noBase(Path adapter, Path base) {
        return adapter + " does not record its base; cannot check that " + base + " is the right one";
    }

    /** An adapter that changes nothing. */
    public static String untrained(Path adapter) {
        return "the update of " + adapter
                + " is zero everywhere, as before training: the adapted weights stay the base's";
    }

    /** A merge of which rounding lost most changes. */
    public static Optional<String> loss(LostChanges lost) {
        return lost.share() <= 0.5
                ? Optional.empty()
                : Optional.of(String.format(
                        Locale.ROOT,
                        "about %.0f %% of the elements of adapted weights did not change: the update is zero there or too"
                                + " small for the base's dtype",
                        100 * lost.share()));
    }
}
