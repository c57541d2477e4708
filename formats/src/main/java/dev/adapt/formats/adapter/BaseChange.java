package dev.adapt.formats.adapter;

import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What an adapter changes in its base's config.json.
 *
 * @param head the classification head it brings
 * @param vocabulary the number of words, where it brings a table of another size
 * @param unties whether a head that was the table of words becomes a tensor of its own
 */
public record BaseChange(Optional<Head> head, OptionalInt vocabulary, boolean unties) {
    /** A change by a head alone, or none. */
    public static BaseChange of(Optional<Head> head) {
        return new BaseChange(head, OptionalInt.empty(), false);
    }

    /** Whether nothing changes. */
    public boolean isEmpty() {
        return head.isEmpty() && vocabulary.isEmpty() && !unties;
    }

    /** The config of the adapted model. */
    public ModelConfig of(ModelConfig base) {
        ModelConfig changed = head.map(base::withHead).orElse(base);
        changed = vocabulary.isPresent() ? changed.withVocabulary(vocabulary.getAsInt()) : changed;
        return unties ? changed.untied() : changed;
    }
}
