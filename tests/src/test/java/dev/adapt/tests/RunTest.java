package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
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
}
