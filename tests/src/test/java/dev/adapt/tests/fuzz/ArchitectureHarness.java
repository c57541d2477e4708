package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;

/** What Jazzer runs on the way from config.json to a model's graph and tensors: the input is the file. */
public final class ArchitectureHarness {
    private static final Path FILE = Path.of(ModelConfig.FILE);

    private ArchitectureHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) {
        try {
            ModelConfig config = new ModelConfig(JsonDocument.parse(FILE, input));
            Architecture architecture = Architectures.of(config);
            if (Binding.targets(config, architecture.usualTargets()).isEmpty()) {
                throw new AssertionError("no module is adapted as usual");
            }
            if (architecture.requiredTensors().values().stream().anyMatch(shape -> shape.elements() < 0)) {
                throw new AssertionError("a tensor of less than nothing");
            }
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(FILE.toString())) {
                throw new AssertionError("names no file", declared);
            }
        }
    }
}
