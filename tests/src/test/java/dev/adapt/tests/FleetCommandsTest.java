package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.io.JsonDocument;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A fleet of a command")
class FleetCommandsTest {
    @TempDir
    private static Path folder;

    private static Path base = Path.of("");
    private static Path data = Path.of("");
    private static Path adapters = Path.of("");

    /** Two adapters with heads of their own, of which only one was trained long enough to be right. */
    @BeforeAll
    static void train() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
        adapters = Files.createDirectory(folder.resolve("adapters"));
        data = Files.writeString(
                folder.resolve("data.tsv"),
                "text\tlabel\n" + "good movie\tyes\na good book\tyes\nbad movie\tno\nthe bad book\tno\n".repeat(12));
        train("right", "12", "0.02");
        train("wrong", "1", "1e-7");
    }

    private static void train(String name, String epochs, String rate) {
        List<Object> args = new ArrayList<>(List.of("train", "--base", base, "--method", "lora"));
        args.addAll(List.of("--task", "classification", "--data", data, "--eval", data, "--batch-size", 6));
        args.addAll(List.of("--epochs", epochs, "--lr", rate, "--head-lr", rate, "--device", "cpu"));
        args.addAll(List.of("--out", adapters.resolve(name)));
        Cli.succeeds(args.toArray());
    }

    private static Cli fleet(String command, Path out, Object... more) {
        List<Object> args = new ArrayList<>(List.of("fleet", command, "--base", base, "--adapters", adapters));
        args.addAll(List.of("--out-dir", out, "--master", "local[1]"));
        args.addAll(List.of(more));
        return Cli.run(args.toArray());
    }

    private static Map<String, String> verdicts(Path out) throws IOException {
        Map<String, String> verdicts = new TreeMap<>();
        Path file = out.resolve("manifest.jsonl");
        for (String line : Files.readAllLines(file).stream().skip(1).toList()) {
            JsonDocument json = JsonDocument.parse(file, line.getBytes(StandardCharsets.UTF_8));
            verdicts.put(json.requireString("adapter"), json.requireString("verdict"));
        }
        return verdicts;
    }

    @Test
    @DisplayName("evaluates each adapter, and ends with exit code 4 if a figure is too low")
    void evaluates() throws IOException {
        Path out = folder.resolve("figures");
        Cli run = fleet("evaluate", out, "--", "--data", data, "--min", "accuracy=0.9");
        assertEquals(4, run.exitCode(), run.errors());
        assertEquals(Map.of("right", "ok", "wrong", "different"), verdicts(out));
        assertEquals(
                Cli.succeeds(
                                "evaluate",
                                "--base",
                                base,
                                "--adapter",
                                adapters.resolve("right"),
                                "--data",
                                data,
                                "--json")
                        .output(),
                Files.readString(out.resolve("right.json")));
        Cli again = fleet("evaluate", out, "--resume", "--", "--data", data, "--min", "accuracy=0.9");
        assertEquals(4, again.exitCode(), "what is kept is still below");
        assertTrue(again.output().contains("1 kept, 1 different"), again.output());
    }

    @Test
    @DisplayName("verifies each adapter against its merged model, and ends with exit code 4 if one differs")
    void verifies() throws IOException {
        Path merged = folder.resolve("merged");
        assertEquals(0, fleet("merge", merged).exitCode());
        FileTree.delete(merged.resolve("wrong"));
        Cli.succeeds("merge", adapters.resolve("right"), "--into", base, "--out", merged.resolve("wrong"));
        Path out = folder.resolve("reports");
        Cli run = fleet("verify", out, "--", "--merged", merged + "/{}", "--inputs", 2);
        assertEquals(4, run.exitCode(), run.errors());
        assertEquals(Map.of("right", "ok", "wrong", "different"), verdicts(out));
    }

    @Test
    @DisplayName("writes what single commands write")
    void writes() throws IOException {
        Path converted = folder.resolve("converted");
        assertEquals(0, fleet("convert", converted, "--", "--rank", 1).exitCode());
        Path exported = folder.resolve("exported");
        assertEquals(0, fleet("export", exported, "--to", "onnx-adapter").exitCode());
        for (String name : List.of("right", "wrong")) {
            Path small = folder.resolve("single-" + name);
            Cli.succeeds("convert", adapters.resolve(name), "--base", base, "--rank", 1, "--out", small);
            assertSame(
                    small.resolve("adapter_model.safetensors"),
                    converted.resolve(name).resolve("adapter_model.safetensors"));
            Path file = folder.resolve(name + ".onnx_adapter");
            Cli.succeeds("export-adapter", adapters.resolve(name), "--base", base, "--out", file);
            assertSame(file, exported.resolve(name + ".onnx_adapter"));
        }
    }

    private static void assertSame(Path expected, Path found) throws IOException {
        assertArrayEquals(Files.readAllBytes(expected), Files.readAllBytes(found), found.toString());
    }

    @Test
    @DisplayName("refuses options that the command does not have, or that the fleet gives itself")
    void refuses() {
        Path out = folder.resolve("refused");
        Cli unknown = fleet("convert", out, "--", "--nonsense");
        assertEquals(2, unknown.exitCode());
        assertTrue(unknown.errors().contains("`adapt convert` cannot take these options"), unknown.errors());
        Cli own = fleet("convert", out, "--", "--out", "elsewhere");
        assertEquals(2, own.exitCode());
        assertTrue(own.errors().contains("--out"), own.errors());
    }
}
