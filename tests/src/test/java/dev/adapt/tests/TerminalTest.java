package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.syntax.ArchRuleDefinition;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("What adapt prints: the command, its exit code, its sentence")
class TerminalTest {
    /** Clears the screen, sets the window's title, forges a line, reorders it, and the same in one C1 character. */
    private static final List<String> HOSTILE = List.of(
            "a\u001b[2Jb", "a\u001b]0;owned\u0007b", "a\nPASS", "a\rPASS", "a\u202egnp.exe", "a\u009b31mb", "a\u2028b");

    @TempDir
    private static Path folder;

    private static Path hostile;
    private static Path base;

    @BeforeAll
    static void prepare() throws IOException {
        FloatTensor one = new FloatTensor(Shape.of(1), new float[1]);
        Map<String, FloatTensor> tensors = new TreeMap<>();
        HOSTILE.forEach(name -> tensors.put(name, one));
        tensors.put("n".repeat(5_000_000), one);
        hostile = folder.resolve("hostile.safetensors");
        SafetensorsWriter.write(hostile, tensors, Map.of("key\n", "value\u001b[31m"));
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    @Test
    @DisplayName("names from files are escaped, and long ones shortened")
    void names() {
        Cli table = Cli.succeeds("inspect", hostile);
        assertPrintable(table.output());
        assertTrue(table.output().lines().noneMatch(line -> line.startsWith("PASS")), "a line was forged");
        assertTrue(table.output().contains("a\\u001b[2Jb"), table.output());
        assertTrue(table.output().contains("a\\nPASS"), table.output());
        assertTrue(table.output().contains("(5,000,000 characters)"), table.output());
        assertTrue(table.output().length() < 10_000, "length " + table.output().length());
    }

    @Test
    @DisplayName("JSON stays valid and keeps every name whole")
    void json() throws IOException {
        Cli json = Cli.succeeds("inspect", hostile, "--json");
        assertPrintable(json.output());
        List<String> names = new ArrayList<>();
        JsonNode tensors = new JsonMapper().readTree(json.output()).path("tensors");
        tensors.forEach(tensor -> names.add(tensor.path("name").textValue()));
        assertTrue(names.containsAll(HOSTILE), "names were changed");
        assertTrue(names.contains("n".repeat(5_000_000)), "a name was cut");
    }

    @Test
    @DisplayName("differences that are not finite are strings in JSON")
    void notFinite() throws IOException {
        Path left = folder.resolve("left.safetensors");
        Path right = folder.resolve("right.safetensors");
        write(left, 1, 1);
        write(right, Float.NaN, Float.POSITIVE_INFINITY);
        Cli diff = Cli.run("diff", left, right, "--json");
        assertEquals(4, diff.exitCode(), diff.errors());
        assertTrue(
                new JsonMapper().readTree(diff.output()).path("max_difference").isTextual(), diff.output());
    }

    private static void write(Path file, float... values) throws IOException {
        SafetensorsWriter.write(file, Map.of("a", new FloatTensor(Shape.of(values.length), values)), Map.of());
    }

    static Stream<Arguments> refused() {
        return Stream.of(
                Arguments.of(2, "Unmatched argument", words("inspect", "@args", "b")),
                Arguments.of(3, "@args: no such file", words("inspect", "@args")),
                Arguments.of(3, "a\\u001b[2Jb: no such file", words("inspect", "a\u001b[2Jb")),
                Arguments.of(2, "Unknown option: '--a\\nPASS'", words("inspect", "x", "--a\nPASS")),
                Arguments.of(2, "compares one adapter or two, found 3", words("analyze a b c --base x --out y")),
                Arguments.of(
                        2,
                        "--max-shard-size: expected at least 1.0 MB",
                        words("merge a --into x --out y" + " --max-shard-size 5")),
                Arguments.of(2, "--base: ", words("inspect", "BASE", "--base", "BASE")),
                Arguments.of(2, "--force: accepts another base", words("convert a --to lora --out b --force")),
                Arguments.of(2, "--force: accepts another base", words("combine a b --type linear --out c --force")),
                Arguments.of(
                        2,
                        "--projection-key: lora has nothing like it",
                        words("train --base BASE --method lora" + " --projection-key 3 --data d --eval d --out o")),
                Arguments.of(2, "--text-column", words("verify --base BASE --merged BASE --text-column 1")),
                Arguments.of(2, "--seed", words("verify --base BASE --merged BASE --data d --seed 1")),
                Arguments.of(2, "--top-k", words("generate --base BASE --prompt-ids 1 --top-k 3")),
                Arguments.of(2, "--groups", words("count --method lora --rank 8 --groups 2 --config BASE")),
                Arguments.of(
                        2,
                        "--label-column",
                        words("train --base BASE --method lora --task image-classification"
                                + " --label-column 2 --data d --eval d --out o")),
                Arguments.of(
                        2,
                        "--head-lr",
                        words("train --base BASE --method lora --task causal-lm --head-lr 1"
                                + " --data d --eval d --out o")),
                Arguments.of(2, "--epochs", words("train --into BASE --method lors --epochs 3 --out o")));
    }

    private static List<String> words(String first, String... more) {
        return more.length == 0
                ? List.of(first.split(" ", -1))
                : Stream.concat(Stream.of(first), Stream.of(more)).toList();
    }

    @ParameterizedTest(name = "{0}, {1}: {2}")
    @MethodSource("refused")
    @DisplayName("what would be ignored is refused")
    void refuses(int exitCode, String sentence, List<String> words) {
        Cli refused = Cli.run(words.stream()
                .map(word -> word.equals("BASE") ? base.toString() : word)
                .toArray());
        assertEquals(exitCode, refused.exitCode(), refused.errors());
        assertTrue(refused.errors().contains(sentence), refused.errors());
        assertEquals(1, refused.errors().lines().count(), refused.errors());
        assertPrintable(refused.errors());
    }

    private static void assertPrintable(String text) {
        assertFalse(
                text.codePoints().anyMatch(c -> c != '\n' && (Character.isISOControl(c) || c == 0x202e || c == 0x2028)),
                "a control character reached the terminal");
    }

    @Test
    @DisplayName("a full disk ends with exit code 3, a closed pipe with 141")
    void unwritable() throws IOException, InterruptedException {
        if (Files.isWritable(Path.of("/dev/full"))) {
            for (List<String> words : List.of(
                    List.of("inspect", base.toString()),
                    List.of("inspect", base.toString(), "--json"),
                    List.of("--help"))) {
                Ended full = run(new File("/dev/full"), words);
                assertEquals(3, full.exitCode(), words.toString());
                assertTrue(full.errors().contains("adapt: standard output: No space left on device"), full.errors());
            }
        }
        ProcessBuilder builder = process(List.of("inspect", hostile.toString(), "--json"));
        Process process = builder.redirectError(folder.resolve("err").toFile()).start();
        process.getInputStream().close();
        assertTrue(process.waitFor(1, TimeUnit.MINUTES), "it does not end");
        assertEquals(141, process.exitValue());
        assertEquals("", Files.readString(folder.resolve("err")));
    }

    @Test
    @DisplayName("too little memory ends in one sentence")
    void memory() throws IOException, InterruptedException {
        Ended ended = run(new File("/dev/null"), List.of("inspect", hostile.toString()), "-Xmx8m");
        assertEquals(3, ended.exitCode(), ended.errors());
        assertTrue(ended.errors().startsWith("adapt: out of memory"), ended.errors());
        assertEquals(1, ended.errors().lines().count(), ended.errors());
    }

    private record Ended(int exitCode, String errors) {}

    private static Ended run(File output, List<String> words, String... flags)
            throws IOException, InterruptedException {
        Path errors = folder.resolve("errors");
        Process process = process(words, flags)
                .redirectOutput(output)
                .redirectError(errors.toFile())
                .start();
        assertTrue(process.waitFor(1, TimeUnit.MINUTES), "it does not end");
        return new Ended(process.exitValue(), Files.readString(errors));
    }

    private static ProcessBuilder process(List<String> words, String... flags) {
        List<String> command = new ArrayList<>(
                List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:+UseSerialGC"));
        command.addAll(List.of(flags));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "dev.adapt.cli.Adapt"));
        command.addAll(words);
        return new ProcessBuilder(command);
    }

    @Test
    @DisplayName("nothing but Terminal prints")
    void onePlace() {
        JavaClasses classes = new ClassFileImporter()
                .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                .importPackages("dev.adapt");
        for (String stream : List.of("out", "err")) {
            ArchRuleDefinition.noClasses()
                    .that()
                    .haveNameNotMatching(
                            "dev\\.adapt\\.cli\\.(terminal\\.(Terminal|StandardOutput)|Adapt|WarmUpCommand)")
                    .should()
                    .accessField(System.class, stream)
                    .check(classes);
        }
        assertTrue(classes.size() > 100, "no classes were found");
    }
}
