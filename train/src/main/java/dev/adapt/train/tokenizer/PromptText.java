package dev.adapt.train.tokenizer;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.PromptFormat;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A prompt laid out as in training.
 *
 * @param special whether the tokens that begin every text are still to be added; a chat template writes them itself
 * @param end the text of the token that ends an answer, where the layout has one of its own
 */
public record PromptText(String text, boolean special, Optional<String> end) {
    /**
     * Lays out a prompt.
     *
     * @param folder with the chat template
     * @throws UsageException if there is no chat template, and the layout is {@link PromptFormat#CHAT}
     */
    public static PromptText of(String prompt, PromptFormat format, Path folder) throws IOException {
        return switch (format) {
            case TEXT -> new PromptText(prompt, true, Optional.empty());
            case LINE_FEED -> new PromptText(withLineFeed(prompt), true, Optional.empty());
            case CHAT -> {
                ChatTemplate template = ChatTemplate.of(folder)
                        .orElseThrow(() -> new UsageException(
                                "prompt-format chat",
                                folder + " has no chat template (chat_template.jinja, or in tokenizer_config.json)"));
                String text = template.render(List.of(ChatTemplate.Message.of("user", prompt)), true);
                yield new PromptText(text, false, template.end());
            }
        };
    }

    /** What stands before a response that no chat template lays out. */
    public static String withLineFeed(String prompt) {
        return prompt + "\n";
    }

    /**
     * The layout of a folder's prompts where nothing records one: by its chat template, if it has one.
     *
     * @throws dev.adapt.formats.FormatException if the template is malformed or uses what is not supported
     */
    public static PromptFormat usual(Path folder) throws IOException {
        return ChatTemplate.of(folder).isPresent() ? PromptFormat.CHAT : PromptFormat.TEXT;
    }
}
