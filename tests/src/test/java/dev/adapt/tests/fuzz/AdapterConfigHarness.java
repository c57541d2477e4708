package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import java.nio.file.Path;
import java.util.Map;

/** What Jazzer runs on the reader of adapter configurations: the input is the file. */
public final class AdapterConfigHarness {
    private static final Path FILE = Path.of(AdapterConfig.FILE);

    private AdapterConfigHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) {
        try {
            AdapterConfig config = new AdapterConfig(JsonDocument.parse(FILE, input));
            AdapterMethod method = Methods.of(config, Map.of());
            if (config.modulesToSave().contains(null) || method.partNames().isEmpty()) {
                throw new AssertionError("a method of no parts: " + method);
            }
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(FILE.toString())) {
                throw new AssertionError("names no file", declared);
            }
        }
    }
}
