package dev.adapt.formats.binding;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Pooling;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** What the metadata of an adapter of ours tell of the head it brings. */
final class HeadMetadata {
    private static final String POOLING = "adapt.head.pooling";
    private static final String LABELS = "adapt.head.labels";

    private HeadMetadata() {}

    /** The entries that tell of a head. */
    static Map<String, String> of(Head head) {
        return Map.of(
                POOLING,
                head.pooling().name().toLowerCase(Locale.ROOT),
                LABELS,
                new JsonMapper().valueToTree(head.labels()).toString());
    }

    /**
     * The head that an adapter brings, if it brings one.
     *
     * @throws FormatException if the metadata are not a head's
     */
    static Optional<Head> of(Adapter adapter) {
        String pooling = adapter.metadata().get(POOLING);
        String labels = adapter.metadata().get(LABELS);
        if (pooling == null || labels == null) {
            return Optional.empty();
        }
        try {
            return Optional.of(new Head(
                    Pooling.named(pooling)
                            .orElseThrow(() -> new FormatException(
                                    adapter.file(),
                                    POOLING,
                                    "is \"" + pooling + "\", expected mean, cls, pooler, last, max or tokens")),
                    List.of(new JsonMapper().readValue(labels, String[].class))));
        } catch (JsonProcessingException e) {
            throw new FormatException(adapter.file(), LABELS, "is not a JSON list of strings");
        }
    }
}
