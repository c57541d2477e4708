package dev.adapt.train.data;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** What Jazzer runs on the readers of text data: the first byte says which, the others are the file. */
public final class LinesHarness {
    private static final List<Path> FILES = List.of(file(".tsv"), file(".csv"), file(".jsonl"), file(".txt"));

    private LinesHarness() {}

    private static Path file(String ending) {
        try {
            Path file = Files.createTempFile("fuzzed", ending);
            file.toFile().deleteOnExit();
            return file;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        if (input.length == 0) {
            return;
        }
        Path file = FILES.get(input[0] & 3);
        Files.write(file, Arrays.copyOfRange(input, 1, input.length));
        try {
            if (file.equals(FILES.getLast())) {
                Lines.document(file);
                return;
            }
            Dataset data = Dataset.read(file, Dataset.Columns.UNKNOWN);
            if (data.classes(data.labels()).size() != data.examples().size()) {
                throw new AssertionError("not a class for each example: " + data);
            }
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(file.toString())
                    || declared.getMessage().lines().count() != 1) {
                throw new AssertionError("names no file, or is no sentence", declared);
            }
        }
    }
}
