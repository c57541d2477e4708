package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.export.OnnxAdapter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What Jazzer runs on the reader of {@code .onnx_adapter} files: the input is the file. */
public final class OnnxAdapterHarness {
    private static final Path FILE = prepared();

    private OnnxAdapterHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        Files.write(FILE, input);
        boolean sound = isSound();
        try {
            OnnxAdapter adapter = OnnxAdapter.read(FILE);
            if (!sound || adapter.bytes() > input.length) {
                throw new AssertionError("read " + adapter.bytes() + " bytes of " + input.length + ", sound: " + sound);
            }
        } catch (FormatException declared) {
            requireNamed(declared);
        }
    }

    private static boolean isSound() throws IOException {
        try {
            OnnxAdapter.require(FILE);
            return true;
        } catch (FormatException declared) {
            requireNamed(declared);
            return false;
        }
    }

    private static void requireNamed(FormatException declared) {
        if (!declared.getMessage().startsWith(FILE.toString())) {
            throw new AssertionError("names no file", declared);
        }
    }

    private static Path prepared() {
        try {
            return Files.createTempFile("fuzzed", OnnxAdapter.SUFFIX);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
