package dev.adapt.formats.adapter;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** How a language model's prompts were laid out in training, which generation must repeat. */
public enum PromptFormat {
    /** A user's message, rendered by the base's chat template. */
    CHAT("chat"),
    /** A line feed follows the prompt. */
    LINE_FEED("line-feed"),
    /** There were no prompts, only texts: a prompt is the beginning of one. */
    TEXT("text");

    /** The key of an adapter file's metadata that records it. */
    public static final String METADATA = "adapt.prompt";

    /** The field of config.json that records it in a merged or whole model. */
    public static final String FIELD = "adapt_prompt";

    private final String key;

    PromptFormat(String key) {
        this.key = key;
    }

    /** What files call it. */
    public String key() {
        return key;
    }

    /**
     * That of an adapter, if it records one.
     *
     * @throws FormatException if it is none of these
     */
    public static Optional<PromptFormat> of(Adapter adapter) {
        Map<String, String> metadata = adapter.metadata();
        return Optional.ofNullable(metadata.get(METADATA))
                .map(key -> named(key)
                        .orElseThrow(() -> new FormatException(
                                adapter.file(), METADATA, "is \"" + key + "\", expected " + expected())));
    }

    /**
     * That of a model by its config.json, if it records one.
     *
     * @throws FormatException if it is none of these
     */
    public static Optional<PromptFormat> of(JsonDocument config) {
        return config.says(FIELD)
                ? Optional.of(config.string(FIELD)
                        .flatMap(PromptFormat::named)
                        .orElseThrow(() -> config.wrong(FIELD, expected())))
                : Optional.empty();
    }

    /** The layout that files call {@code key}. */
    public static Optional<PromptFormat> named(String key) {
        return Arrays.stream(values()).filter(own -> own.key.equals(key)).findFirst();
    }

    private static String expected() {
        return Arrays.stream(values()).map(PromptFormat::key).collect(Collectors.joining(", ", "one of ", ""));
    }
}
