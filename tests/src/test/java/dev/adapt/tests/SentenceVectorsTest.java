package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.sentence.SentenceModules;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("Vectors of texts: trained, merged, evaluated and predicted as a folder of sentence-transformers says")
class SentenceVectorsTest {
    private static final JsonMapper JSON = new JsonMapper();

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    /** Texts are alike if both praise or both blame. */
    private Path pairs() throws IOException {
        StringBuilder lines = new StringBuilder("sentence1\tsentence2\tscore\n");
        List<String> praise = List.of("good movie", "a fine movie", "the good book", "very fine book");
        List<String> blame = List.of("bad movie", "a poor movie", "the bad book", "very poor book");
        for (String one : praise) {
            for (String other : praise) {
                lines.append(one).append('\t').append(other).append("\t5\n");
            }
            for (String other : blame) {
                lines.append(one).append('\t').append(other).append("\t0.5\n");
            }
        }
        return Files.writeString(folder.resolve("pairs.tsv"), lines);
    }

    private Path questions() throws IOException {
        List<String> lines = new ArrayList<>();
        for (String noun : List.of("movie", "book")) {
            for (String word : List.of("good", "bad")) {
                String answer = "the " + (word.equals("good") ? "fine " : "poor ") + noun;
                String wrong = "the " + (word.equals("good") ? "poor " : "fine ") + noun;
                for (String before : List.of("", "a ", "very ")) {
                    ObjectNode line = JSON.createObjectNode();
                    line.put("query", before + word + " " + noun);
                    line.put("passage", answer);
                    line.putArray("negatives").add(wrong);
                    lines.add(line.toString());
                }
            }
        }
        return Files.writeString(folder.resolve("questions.jsonl"), String.join("\n", lines) + "\n");
    }

    private void train(Path adapter, Path data, String... options) {
        Cli.succeeds(Stream.concat(
                        Stream.of(
                                "train",
                                "--base",
                                base,
                                "--method",
                                "lora",
                                "--data",
                                data,
                                "--eval",
                                data,
                                "--out",
                                adapter,
                                "--epochs",
                                40,
                                "--batch-size",
                                8,
                                "--lr",
                                0.02,
                                "--device",
                                "cpu"),
                        Arrays.stream(options))
                .toArray());
    }

    private JsonNode evaluate(Path model, Path data, String... options) throws IOException {
        Cli done = Cli.succeeds(
                Stream.concat(Stream.of("evaluate", "--base", model, "--data", data, "--json"), Arrays.stream(options))
                        .toArray());
        return JSON.readTree(done.output());
    }

    private Path merge(Path adapter) {
        Path merged = folder.resolve("merged");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged);
        return merged;
    }

    private static double[] vector(Object... command) {
        return Arrays.stream(Cli.succeeds(command).output().strip().split("\t", -1))
                .mapToDouble(Double::parseDouble)
                .toArray();
    }

    @ParameterizedTest
    @ValueSource(strings = {"cosent", "cosine"})
    @DisplayName("similarity orders pairs by their scores, from the adapter, the merged folder and ONNX alike")
    void similarity(String loss) throws IOException {
        Path data = pairs();
        String[] similar = {"--task", "similarity", "--label-column", "score"};
        double before = evaluate(base, data, similar).path("spearman").asDouble();
        Path adapter = folder.resolve("adapter");
        train(
                adapter,
                data,
                "--task",
                "similarity",
                "--label-column",
                "score",
                "--loss",
                loss,
                "--pooling",
                "max",
                "--dimensions",
                "8,4",
                "--query-prefix",
                "the ");
        SentenceModules own = SentenceModules.of(adapter).orElseThrow();
        assertEquals(Pooling.MAX, own.pooling());
        assertTrue(own.normalized());
        assertEquals("the ", own.prompt("anything"));
        Path merged = merge(adapter);
        assertEquals(SentenceModules.of(adapter), SentenceModules.of(merged));
        assertTrue(Files.isDirectory(merged.resolve("2_Normalize")));
        double after = evaluate(merged, data, similar).path("spearman").asDouble();
        // half of the scores are the same: equal ranks leave less than 0.87 to reach
        assertTrue(after > 0.6 && after > before + 0.3, before + " before, " + after + " after");
        JsonNode cut = evaluate(merged, data, "--task", "similarity", "--label-column", "score", "--dimension", "4");
        assertTrue(cut.path("spearman").asDouble() > 0.6, cut::toString);
        double[] beside = vector("predict", "--base", base, "--adapter", adapter, "good movie");
        assertEquals(1, Arrays.stream(beside).map(x -> x * x).sum(), 1e-4);
        assertArrayEquals(beside, vector("predict", "--base", merged, "good movie"), 1e-4);
        Path onnx = merged.resolve("model.onnx");
        Cli.succeeds("export-onnx", merged, "--out", onnx);
        assertArrayEquals(beside, vector("predict", "--onnx", onnx, "good movie"), 1e-4);
    }

    @Test
    @DisplayName("retrieval finds passages, with a prompt before each question and passage")
    void retrieval() throws IOException {
        Path data = questions();
        Path adapter = folder.resolve("adapter");
        train(adapter, data, "--task", "retrieval", "--query-prefix", "a ", "--passage-prefix", "not ");
        Path merged = merge(adapter);
        JsonNode figures = evaluate(merged, data, "--task", "retrieval");
        assertTrue(figures.path("recall_1").asDouble() > 0.9, figures::toString);
        assertTrue(figures.path("ndcg_10").asDouble() > 0.9, figures::toString);
        double[] prompted = vector("predict", "--base", merged, "--prompt", "document", "fine movie");
        assertArrayEquals(vector("predict", "--base", merged, "not fine movie"), prompted, 1e-9);
        assertFalse(Arrays.equals(vector("predict", "--base", merged, "fine movie"), prompted));
        Cli unknown = Cli.run("predict", "--base", merged, "--prompt", "other", "fine movie");
        assertEquals(2, unknown.exitCode());
        assertTrue(unknown.errors().contains("[query, document]"), unknown::errors);
    }

    @Test
    @DisplayName("unmerge leaves out what the adapter brought")
    void unmerge() throws IOException {
        Path adapter = folder.resolve("adapter");
        train(adapter, pairs(), "--task", "similarity", "--label-column", "score", "--recompute");
        Path merged = folder.resolve("merged");
        Path undo = folder.resolve("undo");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged, "--undo", undo);
        Path again = folder.resolve("again");
        Cli.succeeds("unmerge", merged, "--undo", undo, "--out", again);
        try (Stream<Path> before = Files.list(base);
                Stream<Path> after = Files.list(again)) {
            assertEquals(
                    before.map(Path::getFileName).sorted().toList(),
                    after.map(Path::getFileName).sorted().toList());
        }
    }

    @Test
    @DisplayName("a base with classes is trained and merged as a bare encoder")
    void bare() throws IOException {
        Path words = TinyModel.BERT_PRETRAINING.write(folder.resolve("words"), 1);
        Files.copy(base.resolve("tokenizer.json"), words.resolve("tokenizer.json"));
        Path adapter = folder.resolve("adapter");
        base = words;
        train(adapter, pairs(), "--task", "similarity", "--label-column", "score");
        Path merged = merge(adapter);
        assertTrue(Files.readString(merged.resolve("config.json")).contains("\"BertModel\""));
        assertEquals(TinyBert.HIDDEN, vector("predict", "--base", merged, "good movie").length);
    }

    @Test
    @DisplayName("what cannot be is refused in a sentence: a score that is missing, a dimension too large, a head")
    void refused() throws IOException {
        Path data = Files.writeString(folder.resolve("data.tsv"), "sentence1\tsentence2\tlabel\na\tthe\tgood\n");
        assertRefused("line 2", data, "--task", "similarity");
        assertRefused(
                "at most the base's 16",
                pairs(),
                "--task",
                "similarity",
                "--label-column",
                "score",
                "--dimensions",
                "32");
        assertRefused("two text columns", pairs(), "--task", "retrieval", "--header", "yes");
        Path empty = Files.writeString(folder.resolve("empty.tsv"), "good\t\n");
        assertRefused("empty text", empty, "--task", "retrieval");
    }

    private void assertRefused(String words, Path data, String... options) {
        Cli refused = Cli.run(Stream.concat(
                        Stream.of(
                                "train",
                                "--base",
                                base,
                                "--method",
                                "lora",
                                "--data",
                                data,
                                "--eval",
                                data,
                                "--out",
                                folder.resolve("none")),
                        Arrays.stream(options))
                .toArray());
        assertTrue(refused.exitCode() == 2 || refused.exitCode() == 3, refused::errors);
        assertTrue(refused.errors().contains(words), refused::errors);
        assertFalse(Files.exists(folder.resolve("none")));
    }
}
