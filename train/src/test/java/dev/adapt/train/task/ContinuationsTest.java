package dev.adapt.train.task;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Source;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("What a language model learns from a file")
class ContinuationsTest {
    private static final String CONFIG = """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 8,
             "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 16, "max_position_embeddings": 8,
             "eos_token_id": 2}
            """;
    /** Words by white space; every text begins with 1. */
    private static final String TOKENIZER = """
            {"version": "1.0", "added_tokens": [
               {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 3, "content": "<user>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 4, "content": "<bot>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
             "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
             "post_processor": {"type": "TemplateProcessing",
               "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
               "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
             "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "<user>": 3,
               "<bot>": 4, "\\u00e9t\\u00e9": 5, "b": 6, "c": 7, "d": 8, "e": 9}}}
            """;

    private static final String TEMPLATE = """
            {{ bos_token }}{% for message in messages %}
            {% if message.role == 'user' %}<user> {{ message.content }} {% elif message.role == 'assistant' %}<bot> {{ message.content }}{{ eos_token }}{% else %}{{ raise_exception('only user and assistant') }}{% endif %}
            {% endfor %}
            {% if add_generation_prompt %}<bot> {% endif %}""";

    @TempDir
    private Path folder;

    private Source source;

    @BeforeEach
    void base() throws IOException {
        Path config = Files.writeString(folder.resolve(ModelConfig.FILE), CONFIG);
        Files.writeString(folder.resolve("tokenizer.json"), TOKENIZER);
        ModelConfig model = ModelConfig.read(config);
        source = new Source(folder, model, Architectures.of(model), 512);
    }

    @Test
    @DisplayName("is every token of documents, joined by the end-of-text token and cut into blocks")
    void packed() throws IOException {
        Continuations documents = read("d.jsonl", "{\"text\": \"été b c d\"}\n{\"text\": \"e b\"}\n");
        assertEquals(List.of("1 5 6 7 8 2 1 9", "6 2"), ids(documents));
        Continuations text = read("d.txt", "b c\nd");
        assertEquals(List.of("1 6 7 8 2"), ids(text));
        // two blocks: the token after the first of each, and so on
        LongTensor goals = (LongTensor) documents.batch(List.of(0, 1)).goals();
        assertArrayEquals(
                new long[] {0, 5, 1, 6, 2, 7, 3, 8, 4, 2, 5, 1, 6, 9, 8, 2}, goals.values(), "where, and which");
    }

    @Test
    @DisplayName("is the response to a prompt, and that it ends")
    void response() throws IOException {
        Continuations continuations = read("d.jsonl", "{\"prompt\": \"b c\", \"response\": \"d e\"}\n");
        assertEquals(List.of("1 6 7 8 9 2"), ids(continuations));
        assertEquals(List.of("...xxx"), learned(continuations));
        Dataset.Columns columns = new Dataset.Columns(List.of("mr"), Optional.of("ref"), Optional.empty());
        Path csv = Files.writeString(folder.resolve("d.csv"), "mr,ref\n\"b c\",\"d e\"\n");
        assertEquals(ids(continuations), ids(Continuations.read(csv, columns, source)));
    }

    @Test
    @DisplayName("is what assistants say, where a chat template puts it")
    void messages() throws IOException {
        Files.writeString(folder.resolve("chat_template.jinja"), TEMPLATE);
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\"}");
        Continuations one = read("d.jsonl", "{\"prompt\": \"été b\", \"response\": \"été\"}\n");
        assertEquals(List.of("1 3 5 6 4 5 2"), ids(one));
        assertEquals(List.of(".....xx"), learned(one), "offsets count characters, not bytes");
        String two =
                "{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}, {\"role\": \"assistant\", \"content\": \"c\"},"
                        + " {\"role\": \"user\", \"content\": \"d\"}, {\"role\": \"assistant\", \"content\": \"e\"}]}\n";
        Continuations cut = read("d.jsonl", two);
        assertEquals(List.of("1 3 6 4 7 2 3 8"), ids(cut), "8 tokens are the most it takes");
        assertEquals(List.of("....xx.."), learned(cut));
        assertFault(
                "only user and assistant",
                "{\"messages\": [{\"role\": \"judge\", \"content\": \"b\"}, {\"role\": \"assistant\", \"content\": \"c\"}]}\n");
        assertFault("without a text for its role", "{\"messages\": [{\"role\": \"user\"}]}\n");
    }

    @Test
    @DisplayName("is read from token ids as they are, where labels do not say otherwise")
    void tokenIds() throws IOException {
        Continuations continuations =
                read("d.jsonl", "{\"input_ids\": [1, 6, 7], \"labels\": [-100, -100, 7]}\n{\"input_ids\": [6, 7]}\n");
        assertEquals(List.of("1 6 7", "6 7"), ids(continuations));
        assertEquals(List.of("..x", "xx"), learned(continuations));
    }

    @Test
    @DisplayName("is nothing, and said with its line, where there is nothing to learn or an id is unknown")
    void refused() throws IOException {
        assertFault("leaves no token to learn", "{\"prompt\": \"b b b b b b b b\", \"response\": \"d\"}\n");
        assertFault("holds the token id 16, and the model knows 0 to 15", "{\"input_ids\": [16, 1]}\n");
        assertFault("has 1 labels for 2 token ids", "{\"input_ids\": [6, 1], \"labels\": [6]}\n");
        assertFault("has none of the fields prompt", "{\"question\": \"b\"}\n");
        assertFault("has no chat template", "{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}\n");
    }

    private Continuations read(String name, String content) throws IOException {
        return Continuations.read(Files.writeString(folder.resolve(name), content), Dataset.Columns.UNKNOWN, source);
    }

    private void assertFault(String reason, String content) {
        FormatException thrown = assertThrows(FormatException.class, () -> read("bad.jsonl", content));
        assertTrue(thrown.getMessage().contains(reason), thrown::getMessage);
    }

    private static List<String> ids(Continuations continuations) {
        return continuations.sequences().stream()
                .map(own -> String.join(
                        " ", Arrays.stream(own.ids()).mapToObj(Long::toString).toList()))
                .toList();
    }

    private static List<String> learned(Continuations continuations) {
        List<String> all = new ArrayList<>();
        for (boolean[] own : continuations.learned()) {
            StringBuilder marks = new StringBuilder();
            for (boolean wanted : own) {
                marks.append(wanted ? 'x' : '.');
            }
            all.add(marks.toString());
        }
        return all;
    }
}
