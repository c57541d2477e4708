package dev.adapt.verify.suite;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.form.Forms;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;

/** Counts a model's parameters without loading it. */
final class Parameters {
    private Parameters() {}

    /** Those of the form that has the most, as far as its files can be read: the verification itself says which cannot. */
    static long of(Forms forms) {
        return Environment.paths(forms).stream()
                .mapToLong(Parameters::readable)
                .max()
                .orElse(0);
    }

    private static long readable(Path path) {
        try {
            return of(path);
        } catch (IOException | FormatException e) {
            return 0;
        }
    }

    private static long of(Path path) throws IOException {
        Path config = path.resolve(ModelConfig.FILE);
        if (Files.isRegularFile(config)) {
            return elements(
                    Architectures.of(ModelConfig.read(config)).requiredTensors().values());
        }
        String name = String.valueOf(path.getFileName());
        if (name.endsWith(".onnx")) {
            try (OnnxContents contents = OnnxContents.open(path)) {
                return elements(contents.weights().stream()
                        .map(OnnxContents.Weight::shape)
                        .toList());
            }
        }
        if (name.endsWith(".gguf")) {
            try (GgufFile file = GgufFile.open(path)) {
                return file.header().tensors().stream()
                        .mapToLong(tensor -> tensor.shape().elements())
                        .sum();
            }
        }
        // an adapter
        return 0;
    }

    private static long elements(Collection<Shape> shapes) {
        return shapes.stream().mapToLong(Shape::elements).sum();
    }
}
