package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.train.template.Template;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.List;
import java.util.Map;

/** What Jazzer runs on chat templates: the input is the template, rendered for one conversation. */
public final class ChatTemplateHarness {
    private static final Path FILE = Path.of("chat_template.jinja");
    private static final ZonedDateTime NOW = ZonedDateTime.of(2024, 7, 5, 9, 8, 7, 0, ZoneOffset.UTC);
    private static final Map<String, Object> VALUES = Map.of(
            "messages",
            List.of(
                    Map.of("role", "user", "content", "<think>a</think> b\n"),
                    Map.of("role", "assistant", "content", "c", "tool_calls", List.of(Map.of("x", 1.5, "y", true)))),
            "add_generation_prompt",
            true,
            "bos_token",
            "<s>");

    private ChatTemplateHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) {
        String source = new String(input, StandardCharsets.UTF_8);
        try {
            Template template = Template.parse(FILE, source);
            String text = template.render(VALUES, NOW);
            if (text.length() > 1 << 22 || !text.equals(template.render(VALUES, NOW))) {
                throw new AssertionError("renders beyond its limit, or differently the second time");
            }
        } catch (FormatException declared) {
            String message = declared.getMessage();
            if (!message.startsWith(FILE + ": its chat template cannot be ") || message.length() > 600) {
                throw new AssertionError("names no file, or is no sentence", declared);
            }
        }
    }
}
