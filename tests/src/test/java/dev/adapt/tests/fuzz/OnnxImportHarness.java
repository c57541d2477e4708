package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.OnnxSummary;
import dev.adapt.formats.onnx.imports.OnnxImport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What Jazzer runs on the readers of ONNX models: the input is the file, beside which lies a file of external data. Reads
 * for verification, and imports; what is imported must be a readable checkpoint.
 */
public final class OnnxImportHarness {
    private static final Path FOLDER = prepared();
    private static final Path FILE = FOLDER.resolve("fuzzed.onnx");
    private static final Path OUT = FOLDER.resolve("out");

    private OnnxImportHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        Files.write(FILE, input);
        try {
            OnnxPrecision.of(FILE);
        } catch (FormatException declared) {
            requireNamed(declared);
        }
        try {
            OnnxSummary summary = OnnxSummary.of(FILE);
            if (summary.parameters() < 0) {
                throw new AssertionError("counts " + summary.parameters() + " parameters");
            }
        } catch (FormatException declared) {
            requireNamed(declared);
        }
        try {
            int tensors = OnnxImport.run(FILE, Optional.empty(), OUT).tensors();
            try (Checkpoint imported = Checkpoint.open(OUT)) {
                if (imported.tensors().size() != tensors) {
                    throw new AssertionError("wrote " + tensors + " tensors, read " + imported.tensors());
                }
            }
            FileTree.delete(OUT);
        } catch (FormatException declared) {
            requireNamed(declared);
        }
        try (Stream<Path> left = Files.list(FOLDER)) {
            List<Path> files = left.toList();
            if (files.size() != 2) {
                throw new AssertionError("left behind or lost: " + files);
            }
        }
    }

    private static void requireNamed(FormatException declared) {
        if (!declared.getMessage().startsWith(FILE.toString())) {
            throw new AssertionError("names no file", declared);
        }
    }

    private static Path prepared() {
        try {
            Path folder = Files.createTempDirectory("fuzz-onnx");
            Files.write(folder.resolve("w"), new byte[4096]);
            return folder;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
