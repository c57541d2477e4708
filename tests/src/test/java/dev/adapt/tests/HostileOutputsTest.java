package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("An output")
class HostileOutputsTest {

    @TempDir
    private Path folder;

    @BeforeEach
    void makeInputs() throws IOException {
        TinyBert.write(folder.resolve("base"), 1);
        TinyBert.write(folder.resolve("tuned"), 2);
        adapter("adapter", 0.5f);
        adapter("other", 0.25f);
        Files.createSymbolicLink(folder.resolve("link"), folder.resolve("base"));
        Files.createSymbolicLink(folder.resolve("weights.safetensors"), folder.resolve("base/model.safetensors"));
        Files.writeString(folder.resolve("data.tsv"), "good\tmovie\nbad\tbook\n");
        Files.writeString(folder.resolve("file"), "mine");
        Files.createDirectory(folder.resolve("full"));
        Files.writeString(folder.resolve("full/notes.txt"), "mine");
        Files.createSymbolicLink(folder.resolve("dangling"), folder.resolve("nowhere"));
    }

    private void adapter(String name, float value) throws IOException {
        Path adapter = Files.createDirectory(folder.resolve(name));
        float[] values = new float[2 * TinyBert.HIDDEN];
        Arrays.fill(values, value);
        Map<String, FloatTensor> parts = new TreeMap<>();
        for (int layer = 0; layer < 2; layer++) {
            String key = "base_model.model.encoder.layer." + layer + ".attention.self.query.";
            parts.put(key + "lora_A.weight", new FloatTensor(Shape.of(2, TinyBert.HIDDEN), values));
            parts.put(key + "lora_B.weight", new FloatTensor(Shape.of(TinyBert.HIDDEN, 2), values));
        }
        SafetensorsWriter.write(adapter.resolve("adapter_model.safetensors"), parts, Map.of());
        Files.writeString(
                adapter.resolve("adapter_config.json"),
                "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 2, \"target_modules\": [\"query\"]}");
    }

    @ParameterizedTest(name = "{0}")
    @DisplayName("that is an input is refused, with --overwrite too, and all stays as it was")
    @CsvSource(delimiter = '|', textBlock = """
            merge adapter --into base --out base                                               | or lies in it
            merge adapter --into base --out link                                               | or lies in it
            merge adapter --into base --out link/x                                             | or lies in it
            merge adapter --into link --out base/x                                             | or lies in it
            merge adapter --into base --out adapter                                            | or lies in it
            merge adapter --into base --out .                                                  | holds the input
            merge adapter --into base/model.safetensors --out base/model.safetensors           | is an input
            merge adapter --into weights.safetensors --out base/model.safetensors              | is an input
            merge adapter --into base/model.safetensors --out link/model.safetensors           | is an input
            merge adapter --into base --out out --undo base/model.safetensors                  | is an input
            merge adapter --into base --out out --undo link/model.safetensors                  | is an input
            merge adapter --into base --out out --undo adapter/adapter_model.safetensors       | is an input
            merge adapter --into base --out out --report base/config.json                      | is an input
            merge adapter --into base --out out --report adapter/adapter_config.json           | is an input
            merge adapter --into base --in-place --report base/tokenizer.json                  | is an input
            merge adapter --into base --out out --undo out                                     | another output
            merge adapter --into base --out out --undo out/undo                                | another output
            convert adapter --to kohya --out adapter/adapter_model.safetensors                 | is an input
            convert adapter --to kohya --base base --out base/model.safetensors                | is an input
            convert adapter --to kohya --base base --out weights.safetensors                   | is an input
            convert adapter --rank 1 --out adapter                                             | or lies in it
            extract --from tuned --base base --rank 1 --out base                               | or lies in it
            extract --from tuned --base base --rank 1 --out tuned/x                            | or lies in it
            combine adapter other --type cat --out other                                       | or lies in it
            combine adapter other --type cat --base base --out link/lora                       | or lies in it
            export-adapter adapter --base base --out adapter/adapter_config.json               | expected a file name
            train --base base --method lora --data data.tsv --eval data.tsv --out base         | or lies in it
            train --base base --method lora --data data.tsv --eval data.tsv --out link/x       | or lies in it
            analyze adapter --base base --out adapter                                          | or lies in it
            """)
    void isInput(String command, String sentence) throws IOException {
        assertRefused(sentence, command + " --overwrite");
    }

    @ParameterizedTest(name = "{0}")
    @DisplayName("that exists is not replaced")
    @CsvSource(delimiter = '|', textBlock = """
            merge adapter --into base --out full                                               | is not empty
            merge adapter --into base --out file                                               | is a file
            merge adapter --into base/model.safetensors --out data.safetensors --undo file     | exists already
            merge adapter --into base --out out --undo dangling                                | exists already
            merge adapter --into base --out out --report file                                  | exists already
            merge adapter --into base --out out --report full                                  | is a folder
            merge adapter --into base --out out --report /dev/null                             | is a pipe or a device
            convert adapter --rank 1 --out full                                                | is not empty
            extract --from tuned --base base --rank 1 --out full                               | is not empty
            combine adapter other --type cat --out full                                        | is not empty
            train --base base --method lora --data data.tsv --eval data.tsv --out full         | is not empty
            analyze adapter --base base --out full                                             | is not empty
            merge adapter --into base --out full --overwrite                                   | notes.txt
            convert adapter --rank 1 --out full --overwrite                                    | notes.txt
            train --base base --method lora --data data.tsv --eval data.tsv --out full --overwrite | notes.txt
            """)
    void exists(String command, String sentence) throws IOException {
        assertRefused(sentence, command);
    }

    private void assertRefused(String sentence, String command) throws IOException {
        Map<String, String> before = contents();
        Cli result = run(command);
        assertTrue(result.errors().contains(sentence), result.errors());
        assertEquals(
                1,
                result.errors().lines().filter(line -> !line.contains("note:")).count(),
                result.errors());
        assertEquals(2, result.exitCode(), result.errors());
        assertEquals(before, contents());
    }

    @Test
    @DisplayName("is replaced where that is asked for, by every command in the same way")
    void overwrites() throws IOException {
        for (String command : List.of(
                "merge adapter --into base --out merged --undo merged.undo --report report.json",
                "unmerge merged --undo merged.undo --out restored",
                "convert adapter --rank 1 --out small",
                "convert adapter --to kohya --base base --out kohya.safetensors",
                "extract --from tuned --base base --rank 1 --out extracted",
                "combine adapter other --type cat --out both",
                "export-onnx base --out base/model.onnx",
                "export-onnx base --self-contained --out own.onnx",
                "export-adapter adapter --base base --out one.onnx_adapter",
                "import-onnx own.onnx --out imported",
                "analyze adapter --base base --no-png --out analysis")) {
            assertEquals(0, run(command).exitCode(), () -> run(command).errors());
            Map<String, String> before = contents();
            Cli again = run(command);
            assertEquals(2, again.exitCode(), command);
            assertTrue(again.errors().contains("--overwrite to replace it"), again.errors());
            assertEquals(before, contents(), command);
            Cli asked = run(command + " --overwrite");
            assertEquals(0, asked.exitCode(), asked.errors());
            assertEquals(before.keySet(), contents().keySet(), command);
        }
    }

    private Cli run(String command) {
        Object[] words = Stream.of(command.strip().split("\\s+"))
                .map(word -> Files.exists(folder.resolve(word), LinkOption.NOFOLLOW_LINKS) || isNew(word)
                        ? folder.resolve(word)
                        : word)
                .toArray();
        return Cli.run(words);
    }

    /** Whether a word of a command is the path of a file to write. */
    private static boolean isNew(String word) {
        return List.of("out", "merged", "restored", "small", "extracted", "both", "imported", "analysis")
                        .contains(word)
                || word.contains("/")
                || (word.contains(".") && !word.startsWith("-"));
    }

    /** All files by name with their digests; links with their targets. */
    private Map<String, String> contents() throws IOException {
        Map<String, String> contents = new TreeMap<>();
        try (Stream<Path> tree = Files.walk(folder)) {
            for (Path path : (Iterable<Path>) tree::iterator) {
                String name = folder.relativize(path).toString();
                if (Files.isSymbolicLink(path)) {
                    contents.put(name, "link to " + Files.readSymbolicLink(path));
                } else if (Files.isRegularFile(path)) {
                    contents.put(name, Sha256.hex(Files.readAllBytes(path)));
                } else {
                    contents.put(name, "folder");
                }
            }
        }
        return contents;
    }
}
