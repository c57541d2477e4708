package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Reference cases in which an adapter is made of other files before it is merged. */
@DisplayName("Extracting and converting the reference cases")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class DerivedCasesTest {
    /** Factors are rounded to float32, and their product with them. */
    private static final double TOLERANCE = 1e-5;

    @TempDir
    private Path folder;

    private Path report(String name, String part) throws IOException {
        return StoredCases.at("reports/" + name, folder).resolve(part);
    }

    private Path architecture(String name, String part) throws IOException {
        return StoredCases.at("arch/" + name, folder).resolve(part);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "extract_tied, --rank 2 --target embed_tokens, .*",
        "extract_save_only, --rank 2 --save lm_head, .*",
        "extract_full, --rank 24, .*_proj.*",
        "extract_vocab, --rank 2 --target q_proj --save embed_tokens --save lm_head, .*(q_proj|embed_tokens|lm_head).*",
        "gpt2_extract, --rank 2, .*"
    })
    @DisplayName("an extracted adapter merges back to the tuned checkpoint")
    void extracted(String name, String options, String compared) throws IOException {
        Path base = report(name, "base");
        Path tuned = report(name, "tuned");
        Path adapter = folder.resolve(name);
        List<Object> words = new ArrayList<>(List.of("extract", "--from", tuned, "--base", base, "--out", adapter));
        words.addAll(List.of(options.split(" ")));
        Cli.succeeds(words.toArray());
        Cli.succeeds("inspect", adapter);
        assertMerges(adapter, base, tuned, compared);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({"kohya_linear", "kohya_noalpha"})
    @DisplayName("a file with kohya's keys, converted, merges into a file without config.json")
    void converted(String name) throws IOException {
        Path base = report(name, "base.safetensors");
        Path adapter = folder.resolve(name);
        Cli.succeeds("convert", report(name, "lora.safetensors"), "--base", base, "--out", adapter);
        assertMerges(adapter, base, report(name, "expected.safetensors"), ".*");
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"gemma", "t5", "dinov2"})
    @DisplayName("no command but those that run a model asks for its architecture")
    void everyCommand(String name) throws IOException {
        Path base = copied(architecture(name, "base"), folder.resolve(name + "-base"));
        Path adapter = architecture(name, "adapter");
        Path merged = folder.resolve(name + "-merged");
        Path undo = folder.resolve(name + ".undo");
        Cli.succeeds("inspect", adapter, "--base", base);
        Cli.succeeds("inspect", base);
        Cli.succeeds("count", adapter);
        Cli.succeeds("merge", adapter, "--into", base, "--dry-run", "--out", merged);
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged, "--undo", undo);
        Cli.succeeds("unmerge", merged, "--undo", undo, "--out", folder.resolve(name + "-restored"));
        try (Checkpoint before = Checkpoint.open(base);
                Checkpoint restored = Checkpoint.open(folder.resolve(name + "-restored"))) {
            before.tensors()
                    .forEach((tensor, view) -> assertEquals(
                            -1,
                            view.data()
                                    .mismatch(Objects.requireNonNull(
                                                    restored.tensors().get(tensor))
                                            .data())));
        }
        Path extracted = folder.resolve(name + "-extracted");
        Cli.succeeds("extract", "--from", merged, "--base", base, "--rank", 4, "--out", extracted);
        Path bf16 = folder.resolve(name + "-bf16");
        Cli.succeeds("convert", adapter, "--dtype", "bf16", "--out", bf16);
        Cli.succeeds("combine", adapter, extracted, "--type", "cat", "--out", folder.resolve(name + "-both"));
        Path each = folder.resolve(name + "-each");
        Cli.succeeds("merge", extracted, bf16, "--into", base, "--each", "--out-dir", each);
        Cli.succeeds("merge", adapter, "--into", base, "--in-place");
        Cli.succeeds("diff", base, merged);
    }

    private static Path copied(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        try (Stream<Path> inside = Files.list(from)) {
            for (Path file : inside.toList()) {
                Path copy = to.resolve(file.getFileName());
                Files.write(copy, Files.readAllBytes(file));
            }
        }
        return to;
    }

    private void assertMerges(Path adapter, Path base, Path expected, String compared) throws IOException {
        Path out = folder.resolve(adapter.getFileName() + "-merged");
        Cli.succeeds("merge", adapter, "--into", base, "--out", out, "--no-fsync");
        try (Checkpoint before = Checkpoint.open(base);
                Checkpoint merged = Checkpoint.open(out)) {
            assertEquals(
                    Optional.empty(),
                    MergedCase.difference(before, merged, expected, compared, TOLERANCE),
                    adapter.toString());
            assertTrue(Files.exists(out.resolve(Checkpoint.SINGLE)));
        }
    }
}
