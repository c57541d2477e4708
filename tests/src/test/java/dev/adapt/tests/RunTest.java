package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("adapt run: a pipeline from a recipe")
class RunTest {
    private static final String DATA = "good movie\tyes\nbad book\tno\ngood book\tyes\nbad movie\tno\n";

    @TempDir
    private Path folder;

    private Path recipe = Path.of("");

    @BeforeEach
    void prepare() throws IOException {
        TinyBert.write(folder.resolve("base"), 1);
        Files.writeString(folder.resolve("data.tsv"), DATA);
        recipe = write("""
                steps:
                  - train: {base: DIR/base, method: lora, rank: 2, data: DIR/data.tsv, eval: none, epochs: 5, lr: 0.1, out: DIR/lora}
                  - merge:
                      args: DIR/lora
                      base: DIR/base
                      out: DIR/merged
                  - export-onnx: {args: DIR/merged, out: DIR/merged/model.onnx}
                  - verify: {merged: DIR/merged, onnx: DIR/merged/model.onnx, inputs: 2, no-reference: true}
                """);
    }

    private Path write(String text) throws IOException {
        return Files.writeString(folder.resolve("recipe.yaml"), text.replace("DIR", folder.toString()));
    }

    private List<String> results(Object... more) throws IOException {
        Cli run = Cli.succeeds(Stream.concat(Stream.of("run", recipe, "--json"), Stream.of(more))
                .toArray());
        JsonNode steps = new JsonMapper().readTree(run.output()).path("result").path("steps");
        return steps.findValuesAsText("skipped");
    }

    @Test
    @DisplayName("a second run skips all; a changed input reruns its step and those that follow from it")
    void skips() throws IOException {
        assertEquals(List.of("false", "false", "false", "false"), results());
        Path adapter = folder.resolve("lora/adapter_model.safetensors");
        byte[] first = Files.readAllBytes(adapter);
        assertEquals(List.of("true", "true", "true", "true"), results());
        String text = Cli.succeeds("run", recipe).output();
        assertEquals(
                4,
                text.lines()
                        .filter(line -> line.contains("skipped: nothing has changed"))
                        .count(),
                text);
        Files.writeString(folder.resolve("data.tsv"), DATA + "bad bad movie\tno\n");
        assertEquals(List.of("false", "false", "false", "false"), results());
        assertFalse(Arrays.equals(first, Files.readAllBytes(adapter)));
        Files.delete(folder.resolve("merged/model.onnx"));
        assertEquals(List.of("true", "true", "false", "true"), results(), "an output that is missing is made again");
        write(Files.readString(recipe).replace("inputs: 2", "inputs: 3"));
        assertEquals(List.of("true", "true", "true", "false"), results(), "another option");
        assertEquals(List.of("false", "false", "false", "false"), results("--all"));
    }

    static Stream<List<String>> wrong() {
        return Stream.of(
                List.of(
                        "base: DIR/base\n      out",
                        "bsae: DIR/base\n      out",
                        ":5: step 2 (merge): no such option: bsae; did you mean base?"),
                List.of("- merge", "- mrege", ":3: step 2: mrege is no command of a recipe; did you mean merge?"),
                List.of("steps:", "stesp:", ":1: a recipe has the key steps, found stesp; did you mean steps?"),
                List.of(
                        "out: DIR/lora}",
                        "outs: DIR/lora}",
                        ":2: step 1 (train): no such option: outs; did you mean out?"),
                List.of(", out: DIR/lora}", "}", ":2: step 1 (train): Missing required option"),
                List.of("      out: DIR/merged\n", "      in-place: true\n", ":6: step 2 (merge): in-place changes"));
    }

    @ParameterizedTest
    @MethodSource("wrong")
    @DisplayName("a wrong recipe is refused before anything runs, with the step and the line")
    void refused(List<String> change) throws IOException {
        String text = Files.readString(recipe);
        String from = change.getFirst().replace("DIR", folder.toString());
        assertTrue(text.contains(from), text);
        write(text.replace(from, change.get(1)));
        Cli run = Cli.run("run", recipe);
        assertEquals(2, run.exitCode(), run.errors());
        assertTrue(run.errors().contains("recipe.yaml" + change.getLast()), run.errors());
        assertEquals(1, run.errors().lines().count(), run.errors());
        assertFalse(Files.exists(folder.resolve("lora")));
    }

    @Test
    @DisplayName("a step that fails ends the run with its exit code; the steps before it are skipped next time")
    void fails() throws IOException {
        String text = Files.readString(recipe);
        write(text.replace("base: " + folder.resolve("base") + "\n", "base: DIR/nowhere\n"));
        Cli run = Cli.run("run", recipe);
        assertEquals(3, run.exitCode(), run.errors());
        assertTrue(run.errors().contains("nowhere: no such file"), run.errors());
        assertTrue(
                run.errors()
                        .contains("recipe.yaml:3: step 2 (merge) failed with exit code 3; later steps were not run"),
                run.errors());
        write(text);
        assertEquals(List.of("true", "false", "false", "false"), results());
    }

    private String refusal(String text, int exitCode) throws IOException {
        Cli run = Cli.run("run", write(text));
        assertEquals(exitCode, run.exitCode(), run.errors());
        assertFalse(run.errors().contains("\tat "), run.errors());
        return run.errors();
    }

    private String merge(String out, String more) {
        return "steps:\n  - merge: {args: DIR/lora, base: DIR/base, force: true, out: DIR/" + out + "}\n" + more;
    }

    private void train() throws IOException {
        String text = Files.readString(recipe);
        write(text.lines().limit(2).collect(Collectors.joining("\n")));
        Cli.succeeds("run", recipe);
        write(text);
    }

    @Test
    @DisplayName("a folder that a failed step did not replace is not replaced by the next run either")
    void foreignOutput() throws IOException {
        train();
        Files.createDirectory(folder.resolve("merged"));
        Path own = Files.writeString(folder.resolve("merged/config.json"), "mine");
        for (int run = 0; run < 2; run++) {
            assertTrue(refusal(merge("merged", ""), 2).contains("the output folder is not empty"));
            assertEquals("mine", Files.readString(own));
        }
    }

    @Test
    @DisplayName("files that a user added or changed in an output are not replaced: the run says so")
    void changedOutput() throws IOException {
        train();
        Cli.succeeds("run", recipe);
        Path config = folder.resolve("merged/config.json");
        String original = Files.readString(config);
        Files.writeString(config, original + " ");
        Files.writeString(folder.resolve("base/config.json"), original + "\n");
        String errors = Cli.run("run", recipe).errors();
        assertTrue(errors.contains("was changed or added since adapt run wrote that output"), errors);
        assertEquals(original + " ", Files.readString(config));
        assertTrue(Files.exists(folder.resolve("merged/model.onnx")));
        Files.writeString(config, original);
        Path notes = Files.writeString(folder.resolve("merged/notes.txt"), "mine");
        assertEquals(2, Cli.run("run", recipe).exitCode());
        assertEquals("mine", Files.readString(notes));
        Files.delete(notes);
        Cli.succeeds("run", recipe);
    }

    @Test
    @DisplayName(
            "a record names files that it may delete by their content: another's record deletes nothing of the user's")
    void forgedRecord() throws IOException {
        train();
        Files.createDirectory(folder.resolve("merged"));
        Path notes = Files.writeString(folder.resolve("merged/notes.txt"), "mine");
        Path record = folder.resolve("recipe.yaml.record.json");
        Files.delete(record);
        for (String forged : List.of(
                "{\"steps\": [{\"outputs\": [\"DIR/merged\"], \"exit_code\": 0}], \"made\": [\"DIR/merged/notes.txt\"]}",
                "{\"steps\": [], \"written\": {\"DIR/merged/notes.txt\": {\"DIR/merged/notes.txt\": \"00\"}}}",
                "{\"steps\": [], \"written\": 5}",
                "{\"steps\": [5, []], \"written\": {\"DIR/merged\": 5}}")) {
            Files.writeString(record, forged.replace("DIR", folder.toString()));
            assertTrue(refusal(merge("merged", ""), 2).contains("merged"));
            assertEquals("mine", Files.readString(notes));
        }
        for (String other : List.of("[1]", "{", "{\"mine\": 1}", "{\"steps\": [], \"written\": {\"a\\u0000\": {}}}")) {
            Files.writeString(record, other);
            assertTrue(refusal(merge("merged", ""), 3).contains("recipe.yaml.record.json: "));
            assertEquals(other, Files.readString(record));
            assertFalse(Files.exists(folder.resolve("recipe.yaml.record.json.lock")));
        }
    }

    @Test
    @DisplayName("a step must not replace what an earlier one reads or writes, nor the recipe")
    void collisions() throws IOException {
        String last = "  - inspect: {args: DIR/lora, json: DIR/";
        assertTrue(refusal(merge("merged", merge("./merged", "").substring(7)), 2)
                .contains("which step 1 (merge) writes"));
        assertTrue(refusal(merge("base", ""), 2).contains("which step 1 (merge) reads"));
        assertTrue(refusal(merge("", ""), 2).contains("the recipe or its record"));
        assertTrue(
                refusal(merge("merged", last + "recipe.yaml.record.json}"), 2).contains("the recipe or its record"));
        assertTrue(refusal(merge("merged", last + "lora}"), 2).contains("which step 1 (merge) reads"));
        assertFalse(Files.exists(folder.resolve("merged")));
    }

    @Test
    @DisplayName("an argument is never an option, and a file of options cannot bring in-place")
    void hiddenOptions() throws IOException {
        assertTrue(refusal("steps:\n  - inspect: {args: --help}", 3).contains("--help: no such file"));
        Files.writeString(folder.resolve("more.yaml"), "in-place: true");
        assertTrue(refusal("steps:\n  - merge: {args: DIR/lora, base: DIR/base, config: DIR/more.yaml}", 2)
                .contains("in-place changes the step's own input"));
    }

    @Test
    @DisplayName("YAML that holds itself, and options of a wrong kind, end in a sentence")
    void oddYaml() throws IOException {
        assertTrue(refusal("steps: &a\n  - [[*a]]", 3).contains("holds itself"));
        assertTrue(refusal("steps:\n  - merge: {args: &a [[*a]], base: b, out: o}", 3)
                .contains("holds itself"));
        assertTrue(refusal("? [a]\n: b", 2).contains("recipe.yaml:1: a recipe has the key steps"));
        assertTrue(refusal("steps:\n  - merge: {args: a, base: {x: y}, out: o}", 2)
                .contains("recipe.yaml:2: step 1 (merge): base: expected a value"));
    }

    @Test
    @DisplayName("a recipe that runs already is not run a second time")
    void twice() throws IOException {
        Path lock = folder.resolve("recipe.yaml.record.json.lock");
        try (FileChannel channel = FileChannel.open(lock, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            assertTrue(channel.tryLock().isValid());
            assertTrue(refusal(Files.readString(recipe), 2).contains("is being run"));
        }
        assertFalse(Files.exists(folder.resolve("lora")));
    }

    @Test
    @DisplayName(
            "links: an input behind a link is an input, and a step's folder in another's output is part of neither")
    void links() throws IOException {
        train();
        Files.createSymbolicLink(folder.resolve("link"), folder.resolve("base"));
        String text = merge("merged", "  - inspect: {args: DIR/merged, json: DIR/merged/sub/result.json}\n")
                .replace("base: DIR/base", "base: DIR/link");
        write(text);
        assertEquals(List.of("false", "false"), results());
        assertEquals(List.of("true", "true"), results());
        Path config = folder.resolve("base/config.json");
        Files.writeString(config, Files.readString(config) + "\n");
        assertEquals(List.of("false", "false"), results());
        assertEquals(List.of("true", "true"), results());
    }
}
