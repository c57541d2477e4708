package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("predict and evaluate")
class PredictTest {
    private static final JsonMapper JSON = new JsonMapper();

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    private Path classes() throws IOException {
        StringBuilder lines = new StringBuilder("text\tlabel\n");
        for (String filler : List.of("", "a ", "the ", "very ", "a very ", "the very ")) {
            for (String noun : List.of("movie", "book", "")) {
                lines.append(filler).append("good ").append(noun).append("\tyes\n");
                lines.append(filler).append("bad ").append(noun).append("\tno\n");
            }
        }
        return Files.writeString(folder.resolve("data.tsv"), lines);
    }

    private Path train(String task, Path data) {
        Path out = folder.resolve("adapter");
        Cli.succeeds(
                "train",
                "--base",
                base,
                "--method",
                "lora",
                "--task",
                task,
                "--data",
                data,
                "--eval",
                data,
                "--out",
                out,
                "--epochs",
                12,
                "--batch-size",
                6,
                "--lr",
                0.02,
                "--head-lr",
                0.02,
                "--device",
                "cpu");
        return out;
    }

    @Test
    @DisplayName("labels texts alike from base and adapter, merged folder and ONNX")
    void labels() throws IOException {
        Path data = classes();
        Path adapter = train("classification", data);
        Path merged = folder.resolve("merged");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged);
        Path onnx = merged.resolve("model.onnx");
        Cli.succeeds("export-onnx", merged, "--out", onnx);
        String beside = Cli.succeeds("predict", "--base", base, "--adapter", adapter, "good movie", "a bad book")
                .output();
        List<String> lines = beside.lines().toList();
        assertTrue(lines.get(0).startsWith("yes\t") && lines.get(1).startsWith("no\t"), beside);
        assertScores(
                beside,
                Cli.succeeds("predict", "--base", merged, "good movie", "a bad book")
                        .output());
        assertScores(
                beside,
                Cli.succeeds("predict", "--onnx", onnx, "good movie", "a bad book")
                        .output());
        Path texts = Files.writeString(folder.resolve("texts.txt"), "good movie\na bad book\n");
        assertScores(
                beside,
                Cli.succeeds("predict", "--base", merged, "--data", texts).output());
        JsonNode first = JSON.readTree(Cli.succeeds("predict", "--base", merged, "--format", "jsonl", "good movie")
                .output());
        assertEquals("yes", first.path("labels").path(0).asText());
        assertEquals(
                1,
                first.path("scores").path("yes").asDouble()
                        + first.path("scores").path("no").asDouble(),
                1e-9);
    }

    private static void assertScores(String expected, String found) {
        List<String> left = expected.lines().toList();
        List<String> right = found.lines().toList();
        assertEquals(left.size(), right.size());
        for (int i = 0; i < left.size(); i++) {
            String[] one = left.get(i).split("\t", -1);
            String[] other = right.get(i).split("\t", -1);
            assertEquals(one[0], other[0]);
            assertEquals(Double.parseDouble(one[1]), Double.parseDouble(other[1]), 1e-4);
        }
    }

    @Test
    @DisplayName("counts what is right, and ends with 4 below a minimum")
    void evaluates() throws IOException {
        Path data = classes();
        Path adapter = train("classification", data);
        Cli all = Cli.succeeds(
                "evaluate", "--base", base, "--adapter", adapter, "--data", data, "--json", "--min", "f1=0.9");
        JsonNode figures = JSON.readTree(all.output());
        assertEquals(36, figures.path("examples").asInt());
        assertTrue(figures.path("accuracy").asDouble() > 0.9, all::output);
        assertEquals(18, figures.path("classes").path(0).path("examples").asInt());
        Path turned = Files.writeString(
                folder.resolve("turned.tsv"), "text\tlabel\ngood movie\tno\nbad book\tyes\ngood book\tyes\n");
        Cli below =
                Cli.run("evaluate", "--base", base, "--adapter", adapter, "--data", turned, "--min", "accuracy=0.9");
        assertEquals(4, below.exitCode(), below::errors);
        assertTrue(below.output().contains("accuracy 0.3333"), below::output);
        Cli other = Cli.run("evaluate", "--base", base, "--adapter", adapter, "--data", data, "--min", "pearson=0.9");
        assertEquals(2, other.exitCode(), other::errors);
    }

    @Test
    @DisplayName("finds entities with their places, and counts them as training does")
    void entities() throws IOException {
        String words =
                "the O\ngood B-NAME\nmovie I-NAME\n\na O\nbad B-NAME\nbook I-NAME\n\nnot O\nvery O\nmovie B-NAME\n\n";
        Path data = Files.writeString(folder.resolve("words.txt"), words.repeat(8));
        Path adapter = train("token-classification", data);
        JsonNode line = JSON.readTree(
                Cli.succeeds("predict", "--base", base, "--adapter", adapter, "--format", "jsonl", "the good movie")
                        .output());
        JsonNode entity = line.path("entities").path(0);
        assertEquals("good movie", entity.path("text").asText(), line::toString);
        assertEquals("NAME", entity.path("label").asText());
        assertEquals(4, entity.path("start").asInt());
        assertEquals(14, entity.path("end").asInt());
        Cli evaluated = Cli.succeeds(
                "evaluate", "--base", base, "--adapter", adapter, "--data", data, "--min", "entity_f1=0.95");
        assertTrue(evaluated.output().contains("72 examples"), evaluated::output);
    }

    @Test
    @DisplayName("gives embeddings of a bare encoder, and refuses a model that gives none of these")
    void embeds() throws IOException {
        String[] values = Cli.succeeds("predict", "--base", base, "--normalize", "good movie")
                .output()
                .strip()
                .split("\t", -1);
        assertEquals(TinyBert.HIDDEN, values.length);
        double square = 0;
        for (String value : values) {
            square += Double.parseDouble(value) * Double.parseDouble(value);
        }
        assertEquals(1, square, 1e-4);
        Path answers = TinyModel.BERT_ANSWERS.write(folder.resolve("answers"), 1);
        Cli refused = Cli.run("predict", "--base", answers, "--tokenizer", base, "good movie");
        assertEquals(2, refused.exitCode());
        assertTrue(refused.errors().contains("start_logits"), refused::errors);
    }
}
