package dev.adapt.train.data;

import java.util.Arrays;

/** What a model of texts reads. */
public sealed interface Text {
    /** One text. */
    record Single(String text) implements Text {}

    /** Two texts that are read together, as a premise and a hypothesis are. */
    record Pair(String first, String second) implements Text {}

    /** Token ids, special tokens included. */
    @SuppressWarnings("ArrayRecordComponent")
    record Ids(long[] ids) implements Text {}

    /** What people read of it. */
    default String shown() {
        return switch (this) {
            case Single(String text) -> text;
            case Pair(String first, String second) -> first + " | " + second;
            case Ids(long[] ids) -> Arrays.toString(ids);
        };
    }
}
