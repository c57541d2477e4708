package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.model.GgufImport;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.io.Outputs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What Jazzer runs on the reader of GGUF files: the input is the file, which is imported. */
public final class GgufHarness {
    private static final Path FOLDER = make();
    private static final Path FILE = FOLDER.resolve("fuzzed.gguf");
    private static final Path OUT = FOLDER.resolve("out");

    private GgufHarness() {}

    private static Path make() {
        try {
            return Files.createTempDirectory("gguf");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        Files.write(FILE, input);
        Tree before = Tree.of(FOLDER);
        try {
            int tensors = GgufImport.run(FILE, OUT, Outputs.fresh()).tensors();
            try (Checkpoint imported = Checkpoint.open(OUT)) {
                if (imported.tensors().size() != tensors) {
                    throw new AssertionError("wrote " + tensors + " tensors, read " + imported.tensors());
                }
            }
            FileTree.delete(OUT);
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(FILE.toString())) {
                throw new AssertionError("names no file", declared);
            }
        }
        before.requireSame(Tree.of(FOLDER));
    }
}
