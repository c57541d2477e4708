package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** GGUF files of the reference cases: of every architecture that llama.cpp has, and of every method on one of them. */
@DisplayName("GGUF files of the reference cases")
class GgufCasesTest {
    @TempDir
    private Path folder;

    static Stream<String> names() throws IOException {
        return Stream.concat(StoredCases.names("arch").stream(), StoredCases.names("methods").stream());
    }

    static Stream<String> architectures() throws IOException {
        return StoredCases.names("arch").stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("names")
    @DisplayName("a merge into a GGUF file writes what a merge and an export after it write")
    void merged(String name) throws IOException {
        Path each = StoredCases.at(name, folder.resolve("cases"));
        Path merged = folder.resolve("merged");
        Cli merge = Cli.run("merge", each.resolve("adapter"), "--into", each.resolve("base"), "--out", merged);
        assumeTrue(merge.exitCode() == 0, merge.errors());
        Path after = folder.resolve("after.gguf");
        Cli export = Cli.run("export-gguf", merged, "--out", after);
        Path direct = folder.resolve("direct.gguf");
        Cli both = Cli.run("merge", each.resolve("adapter"), "--into", each.resolve("base"), "--out", direct);
        assertEquals(export.exitCode(), both.exitCode(), both.errors());
        assumeTrue(export.exitCode() == 0, export.errors());
        try (GgufFile expected = GgufFile.open(after);
                GgufFile found = GgufFile.open(direct)) {
            assertEquals(expected.header().tensors(), found.header().tensors());
            for (GgufTensor tensor : expected.header().tensors()) {
                assertArrayEquals(values(expected, tensor), values(found, tensor), tensor.name());
            }
        }
        try (Stream<Path> inside = Files.list(folder)) {
            assertEquals(
                    List.of(),
                    inside.map(file -> file.getFileName().toString())
                            .filter(file -> file.endsWith(".tmp") || file.contains("direct.gguf."))
                            .toList());
        }
    }

    private static float[] values(GgufFile file, GgufTensor tensor) throws IOException {
        float[] values = new float[Math.toIntExact(tensor.shape().elements())];
        file.read(tensor, 0, values, values.length);
        return values;
    }

    /** In Gemma's files, a norm is 1 + w and the queries have a factor: of a float32, neither leaves the last bits. */
    private static boolean rounds(String name, String tensor) {
        return name.startsWith("arch/gemma") && tensor.matches(".*(norm|q_proj)\\.weight");
    }

    private static boolean isSame(TensorView expected, TensorView found, boolean rounds) {
        if (!rounds) {
            return expected.sha256().equals(found.sha256());
        }
        float[] before = expected.toFloats();
        float[] after = found.toFloats();
        boolean same = before.length == after.length;
        for (int i = 0; same && i < before.length; i++) {
            same = Math.abs(before[i] - after[i]) <= 2 * Math.ulp(1 + Math.abs(before[i]));
        }
        return same;
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("architectures")
    @DisplayName("read back, a GGUF file gives the tensors that it was made of, bit for bit")
    void readBack(String name) throws IOException {
        Path base = StoredCases.at(name, folder.resolve("cases")).resolve("base");
        Path gguf = folder.resolve("model.gguf");
        Cli export = Cli.run("export-gguf", base, "--out", gguf);
        assumeTrue(export.exitCode() == 0, export.errors());
        Path back = folder.resolve("back");
        Cli.succeeds("import-gguf", gguf, "--out", back);
        try (Checkpoint expected = Checkpoint.open(base);
                Checkpoint found = Checkpoint.open(back)) {
            List<String> other = new ArrayList<>();
            for (TensorView tensor : found.tensors().values()) {
                String actual = expected.tensors().keySet().stream()
                        .filter(each -> each.equals(tensor.name()) || each.endsWith("." + tensor.name()))
                        .findFirst()
                        .orElse("");
                boolean same = !actual.isEmpty()
                        && isSame(
                                Objects.requireNonNull(expected.tensors().get(actual)),
                                tensor,
                                rounds(name, tensor.name()));
                if (!same) {
                    other.add(tensor.name());
                }
            }
            assertEquals(List.of(), other);
            assertTrue(found.tensors().size() > 10, "few tensors");
        }
        Cli verified = Cli.run("verify", "--base", base, "--gguf", gguf, "--inputs", "2", "--no-reference");
        assertNotEquals(4, verified.exitCode(), verified.errors());
        System.out.printf(
                "| %s | %s |%n",
                name, verified.exitCode() == 0 ? "verified" : verified.errors().strip());
    }
}
