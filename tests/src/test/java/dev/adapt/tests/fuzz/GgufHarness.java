package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.GgufImport;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.io.FileTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What Jazzer runs on the reader of GGUF files and on their import: the input is the file. */
public final class GgufHarness {
    private static final Path FILE = prepared();

    private GgufHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        Files.write(FILE, input);
        try (GgufFile file = GgufFile.open(FILE)) {
            for (GgufTensor tensor : file.header().tensors()) {
                if (tensor.bytes() > input.length) {
                    throw new AssertionError(tensor + " of a file of " + input.length + " bytes");
                }
            }
        } catch (FormatException declared) {
            requireNamed(declared);
            return;
        }
        Path out = Files.createTempDirectory("imported");
        try {
            GgufImport.into(FILE, out);
        } catch (FormatException declared) {
            requireNamed(declared);
        } finally {
            FileTree.delete(out);
        }
    }

    private static void requireNamed(FormatException declared) {
        if (!declared.getMessage().startsWith(FILE.toString())) {
            throw new AssertionError("names no file", declared);
        }
    }

    private static Path prepared() {
        try {
            return Files.createTempFile("fuzzed", ".gguf");
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
