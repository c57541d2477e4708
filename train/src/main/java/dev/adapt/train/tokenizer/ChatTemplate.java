package dev.adapt.train.tokenizer;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import dev.adapt.train.data.Lines;
import dev.adapt.train.template.Template;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * How a model was taught to read a conversation: the Jinja template in {@code chat_template.jinja} or
 * {@code tokenizer_config.json}, rendered as transformers does. What {@link Template} cannot render is refused.
 */
public final class ChatTemplate {
    /** The role whose messages are learned. */
    public static final String ASSISTANT = "assistant";

    /** One message: role, content, and whatever else its template may ask for. */
    public record Message(Map<String, Object> fields) {
        public static Message of(String role, String content) {
            return new Message(Map.of("role", role, "content", content));
        }

        /**
         * The list in the field {@code messages} of a line.
         *
         * @throws FormatException if it is none, or a message has no role or content
         */
        public static List<Message> read(Path file, int line, JsonNode node) {
            JsonNode list = node.path("messages");
            if (!list.isArray() || list.isEmpty()) {
                throw Lines.fault(file, line, "expected a list of messages in \"messages\"");
            }
            List<Message> messages = new ArrayList<>();
            for (JsonNode message : list) {
                if (!message.path("role").isTextual()
                        || !message.path("content").isTextual()) {
                    throw Lines.fault(file, line, "holds a message without a text for its role and its content");
                }
                messages.add(new Message(
                        new JsonMapper().convertValue(message, new TypeReference<Map<String, Object>>() {})));
            }
            return messages;
        }

        boolean learned() {
            return ASSISTANT.equals(fields.get("role"));
        }
    }

    /** A stretch of text, counted in code points; {@code to} is exclusive. */
    private record Span(int from, int to) {}

    /** A conversation as text, and where assistants speak in it. */
    public record Rendered(String text, List<Span> spans) {
        /** Whether an assistant says the code point at {@code index}. */
        public boolean learned(int index) {
            return spans.stream().anyMatch(span -> span.from() <= index && index < span.to());
        }
    }

    private final Path file;
    private final Template template;
    private final Map<String, String> special;
    /** One time for all conversations, or those that print it would differ. */
    private final ZonedDateTime now;

    /**
     * @param file where it stands
     * @param special the texts of bos_token, eos_token and the like, by name
     */
    private ChatTemplate(Path file, String template, Map<String, String> special) {
        this.file = file;
        this.template = Template.parse(file, template);
        this.special = special;
        this.now = ZonedDateTime.now(ZoneId.systemDefault());
    }

    /**
     * The template of a checkpoint, if it has one.
     *
     * @throws FormatException if it is malformed or uses what is not supported
     */
    public static Optional<ChatTemplate> of(Path base) throws IOException {
        Path configFile = base.resolve("tokenizer_config.json");
        Optional<JsonDocument> config =
                Files.exists(configFile) ? Optional.of(JsonDocument.read(configFile)) : Optional.empty();
        Map<String, String> special = config.map(ChatTemplate::special).orElse(Map.of());
        Path own = base.resolve("chat_template.jinja");
        if (Files.exists(own)) {
            return Optional.of(new ChatTemplate(own, InputFile.found(own).text(Limit.CONFIG), special));
        }
        return config.flatMap(ChatTemplate::template).map(template -> new ChatTemplate(configFile, template, special));
    }

    private static Map<String, String> special(JsonDocument config) {
        Map<String, String> special = new HashMap<>();
        for (String name : List.of("bos_token", "eos_token", "unk_token", "pad_token")) {
            JsonNode token = config.json().path(name);
            JsonNode text = token.isObject() ? token.path("content") : token;
            if (text.isTextual()) {
                special.put(name, text.textValue());
            }
        }
        return special;
    }

    /** A text, or the default among several that have names. */
    private static Optional<String> template(JsonDocument config) {
        JsonNode own = config.json().path("chat_template");
        if (own.isArray()) {
            for (JsonNode named : own) {
                if (named.path("name").asText().equals("default")) {
                    return Optional.of(named.path("template").asText());
                }
            }
        }
        return config.string("chat_template");
    }

    /** The text of the token that ends a message, if the tokenizer names one. */
    Optional<String> end() {
        return Optional.ofNullable(special.get("eos_token"));
    }

    /**
     * A conversation whose assistants' messages are to be learned, each with what ends it.
     *
     * @throws FormatException if the template cannot be rendered, or one part of the conversation changes another
     */
    public Rendered dialogue(List<Message> messages, Path data, int line) {
        String whole = render(messages, false);
        List<Span> spans = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            if (messages.get(i).learned()) {
                String before = render(messages.subList(0, i), true);
                String after = render(messages.subList(0, i + 1), false);
                if (!whole.startsWith(before) || !whole.startsWith(after)) {
                    throw Lines.fault(
                            data,
                            line,
                            "cannot be split into prompt and response: the chat template of " + file
                                    + " renders message " + (i + 1)
                                    + " differently when others follow; end the conversation there");
                }
                spans.add(new Span(before.codePointCount(0, before.length()), after.codePointCount(0, after.length())));
            }
        }
        return new Rendered(whole, spans);
    }

    /**
     * The text of a conversation.
     *
     * @param prompt whether to end with what begins an assistant's message
     */
    String render(List<Message> messages, boolean prompt) {
        Map<String, @Nullable Object> values = new HashMap<>(special);
        values.put("messages", messages.stream().map(Message::fields).toList());
        values.put("add_generation_prompt", prompt);
        // transformers passes these as None: templates ask whether they are none, not whether they are defined
        values.put("tools", null);
        values.put("documents", null);
        return template.render(values, now);
    }
}
