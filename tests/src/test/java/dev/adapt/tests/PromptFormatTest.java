package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.generate.StopTokens;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.train.tokenizer.PromptText;
import dev.adapt.train.tokenizer.TextCodec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Generation lays a prompt out as training did, and ends where the model's files say")
class PromptFormatTest {
    private static final String TEMPLATE =
            "{% for m in messages %}{% if m.role == 'user' %}[CLS]{% else %} movie{% endif %}"
                    + " {{ m.content }}{% endfor %}{% if add_generation_prompt %} movie{% endif %}";

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void base() throws IOException {
        base = TinyModel.LLAMA.write(folder.resolve("base"), 4);
        Path tokenizer = TinyBert.write(folder.resolve("bert"), 1).resolve("tokenizer.json");
        Files.copy(tokenizer, base.resolve("tokenizer.json"));
        Path config = base.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceFirst("\\{", "{\"eos_token_id\": 13, "));
    }

    /** Trains an adapter; returns its folder. */
    private Path trained(String lines) throws IOException {
        Path data = Files.writeString(folder.resolve("data.jsonl"), lines);
        Path out = folder.resolve("adapter");
        Cli.succeeds(
                "train",
                "--base",
                base,
                "--method",
                "lora",
                "--task",
                "causal-lm",
                "--data",
                data,
                "--eval",
                data,
                "--epochs",
                1,
                "--max-length",
                5,
                "--out",
                out);
        return out;
    }

    private static String generated(Object... words) {
        List<Object> all = new ArrayList<>(List.of("generate", "--prompt", "good", "--max-new-tokens", 3));
        all.addAll(List.of(words));
        return Cli.succeeds(all.toArray()).output();
    }

    @Test
    void aLineFeedIsRecordedByAnAdapterAndByWhatItIsMergedInto() throws IOException {
        Path adapter = trained("{\"prompt\": \"good\", \"response\": \"fine book\"}\n".repeat(4));
        assertEquals(Optional.of(PromptFormat.LINE_FEED), PromptFormat.of(Adapter.read(adapter)));
        Path merged = folder.resolve("merged");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged);
        assertEquals(
                Optional.of(PromptFormat.LINE_FEED),
                PromptFormat.of(ModelConfig.read(merged.resolve("config.json")).document()));
        String text = generated("--base", base, "--adapter", adapter);
        assertEquals(2, text.lines().count(), text);
        assertEquals(text, generated("--base", merged));
        assertEquals(1, generated("--base", base).lines().count());
        assertEquals(
                1,
                generated("--base", merged, "--prompt-format", "text").lines().count());
    }

    @Test
    void whatWasCutIsInTheSummary() throws IOException {
        Path adapter = trained("""
                {"prompt": "good", "response": "fine"}
                {"prompt": "good", "response": "fine book and very good"}
                """);
        JsonNode cut = new JsonMapper()
                .readTree(adapter.resolve("summary.json").toFile())
                .path("truncated");
        assertEquals("{\"examples\":2,\"cut\":1,\"responses_cut\":1}", cut.toString());
    }

    @Test
    void aChatTemplateIsRenderedAsTrainingDid() throws IOException {
        Files.writeString(base.resolve("chat_template.jinja"), TEMPLATE);
        Path adapter = trained("{\"prompt\": \"good\", \"response\": \"fine\"}\n".repeat(4));
        assertEquals(Optional.of(PromptFormat.CHAT), PromptFormat.of(Adapter.read(adapter)));
        try (TextCodec codec = TextCodec.open(base)) {
            assertArrayEquals(new long[] {2, 4, 8}, codec.encode(PromptText.of("good", PromptFormat.CHAT, base)));
            assertArrayEquals(new long[] {2, 4, 3}, codec.encode(PromptText.of("good", PromptFormat.LINE_FEED, base)));
        }
        assertEquals(2, generated("--base", base, "--adapter", adapter).lines().count());
        Files.delete(base.resolve("chat_template.jinja"));
        Cli refused = Cli.run("generate", "--base", base, "--adapter", adapter, "--prompt", "good");
        assertEquals(2, refused.exitCode());
        assertTrue(refused.errors().contains("has no chat template"), refused.errors());
    }

    @Test
    void textsHaveNoLayout() throws IOException {
        Path adapter = trained("{\"text\": \"good fine book\"}\n".repeat(4));
        assertEquals(Optional.of(PromptFormat.TEXT), PromptFormat.of(Adapter.read(adapter)));
    }

    @Test
    void anUnknownLayoutIsRefused() throws IOException {
        Path config = base.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceFirst("\\{", "{\"adapt_prompt\": \"verse\", "));
        FormatException refused = assertThrows(
                FormatException.class,
                () -> PromptFormat.of(ModelConfig.read(config).document()));
        assertTrue(refused.getMessage().contains("chat, line-feed, text"), refused.getMessage());
        Cli option = Cli.run("generate", "--base", base, "--prompt", "good", "--prompt-format", "verse");
        assertEquals(2, option.exitCode());
        assertTrue(option.errors().contains("chat or line-feed or text"), option.errors());
        Cli ids = Cli.run("generate", "--base", base, "--prompt-ids", "1", "--prompt-format", "chat");
        assertEquals(2, ids.exitCode());
    }

    @Test
    void theTokensOfBothFilesEndAText() throws IOException {
        Path generation = base.resolve("generation_config.json");
        assertEquals(Set.of(13L), StopTokens.of(base));
        Files.writeString(generation, "{\"eos_token_id\": [7, 9]}");
        assertEquals(Set.of(7L, 9L, 13L), StopTokens.of(base));
        Files.writeString(generation, "{\"eos_token_id\": \"</s>\"}");
        assertThrows(FormatException.class, () -> StopTokens.of(base));
        assertEquals(3, Cli.run("generate", "--base", base, "--prompt-ids", "1").exitCode());
        String[] all = Cli.succeeds("generate", "--base", base, "--prompt-ids", "1", "--eos", "39")
                .output()
                .strip()
                .split(",", -1);
        Files.writeString(generation, "{\"eos_token_id\": " + all[3] + "}");
        String ended =
                Cli.succeeds("generate", "--base", base, "--prompt-ids", "1").output();
        assertTrue(ended.strip().split(",").length <= 3, ended);
    }

    @Test
    @DisplayName("A command line of 100 KB does not end ONNX Runtime")
    void longCommandLine() throws IOException, InterruptedException {
        Path model = base.resolve("model.onnx");
        Cli.succeeds("export-onnx", base, "--with-past", "--out", model);
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        "dev.adapt.cli.Adapt",
                        "generate",
                        "--onnx",
                        model.toString(),
                        "--prompt-ids",
                        "1",
                        "--eos",
                        "39" + ",39".repeat(30_000))
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("out").toFile())
                .start();
        assertTrue(process.waitFor(2, TimeUnit.MINUTES), "it does not end");
        assertEquals(0, process.exitValue(), Files.readString(folder.resolve("out")));
    }
}
