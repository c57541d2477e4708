package dev.adapt.train;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.interpret.TemplateError;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * How a model was taught to read a conversation: the Jinja template in {@code chat_template.jinja} or
 * {@code tokenizer_config.json}, rendered as transformers does. What our Jinja engine cannot render is refused.
 */
final class ChatTemplate {
    /** The role whose messages are learned. */
    static final String ASSISTANT = "assistant";

    /** One message: role, content, and whatever else its template may ask for. */
    record Message(Map<String, Object> fields) {
        static Message of(String role, String content) {
            return new Message(Map.of("role", role, "content", content));
        }

        /**
         * The list in the field {@code messages} of a line.
         *
         * @throws FormatException if it is none, or a message has no role or content
         */
        static List<Message> read(Path file, int line, JsonNode node) {
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
    record Rendered(String text, List<Span> spans) {
        /** Whether an assistant says the code point at {@code index}. */
        boolean learned(int index) {
            return spans.stream().anyMatch(span -> span.from() <= index && index < span.to());
        }
    }

    private final Path file;
    private final String template;
    private final Map<String, String> special;
    private final Jinjava jinja = jinja();

    /**
     * @param file where it stands
     * @param special the texts of bos_token, eos_token and the like, by name
     */
    private ChatTemplate(Path file, String template, Map<String, String> special) {
        this.file = file;
        this.template = template;
        this.special = special;
    }

    /** The template of a checkpoint, if it has one. */
    static Optional<ChatTemplate> of(Path base) throws IOException {
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

    /**
     * A conversation whose assistants' messages are to be learned, each with what ends it.
     *
     * @throws FormatException if the template cannot be rendered, or one part of the conversation changes another
     */
    Rendered dialogue(List<Message> messages, Path data, int line) {
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
        Map<String, Object> values = new HashMap<>(special);
        values.put("messages", messages.stream().map(Message::fields).toList());
        values.put("add_generation_prompt", prompt);
        RenderResult result = jinja.renderForResult(template, values);
        for (TemplateError error : result.getErrors()) {
            throw new FormatException(
                    file, "its chat template cannot be rendered, at line " + error.getLineno() + ": " + reason(error));
        }
        return result.getOutput();
    }

    /** What a template's own refusal says is at the end of a chain of causes. */
    private static String reason(TemplateError error) {
        String reason = String.valueOf(error.getMessage());
        for (Throwable cause = error.getException(); cause != null; cause = cause.getCause()) {
            reason = cause.getMessage() == null ? reason : cause.getMessage();
        }
        return reason.replaceAll("\\s+", " ");
    }

    /** As transformers sets Jinja up: blocks take their line break with them, and templates may refuse. */
    private static Jinjava jinja() {
        Jinjava jinja = new Jinjava(JinjavaConfig.newBuilder()
                .withTrimBlocks(true)
                .withLstripBlocks(true)
                .withLegacyOverrides(LegacyOverrides.newBuilder()
                        .withEvaluateMapKeys(true)
                        .withIterateOverMapKeys(true)
                        .withUsePyishObjectMapper(true)
                        .withUseNaturalOperatorPrecedence(true)
                        .withParseWhitespaceControlStrictly(true)
                        .withAllowAdjacentTextNodes(true)
                        .withUseTrimmingForNotesAndExpressions(true)
                        .withKeepNullableLoopValues(true)
                        .build())
                .build());
        jinja.getGlobalContext()
                .registerFunction(
                        new ELFunctionDefinition("", "raise_exception", Refusal.class, "refuse", String.class));
        return jinja;
    }

    /** What a template calls to refuse a conversation; public, for the engine finds it by reflection. */
    public static final class Refusal {
        private Refusal() {}

        /** Refuses. */
        @SuppressWarnings("DoNotCallSuggester") // the template calls it
        public static String refuse(String reason) {
            throw new IllegalArgumentException(reason);
        }
    }
}
