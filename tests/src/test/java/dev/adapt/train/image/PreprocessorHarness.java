package dev.adapt.train.image;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;

/** What Jazzer runs on the reader of preprocessor_config.json: the input is the file. */
public final class PreprocessorHarness {
    private static final Path FILE = Path.of("preprocessor_config.json");
    private static final int SIZE = 8;

    private PreprocessorHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) {
        float[] values = new float[3 * SIZE * SIZE];
        try {
            Preprocessor.of(JsonDocument.parse(FILE, input), 3, SIZE)
                    .apply(Picture.of(9, 10, 3, new byte[270], 0), values, 0);
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(FILE.toString())) {
                throw new AssertionError("names no file", declared);
            }
        }
        for (float value : values) {
            if (!Float.isFinite(value)) {
                throw new AssertionError("a pixel became " + value);
            }
        }
    }
}
