package dev.adapt.verify.suite;

import dev.adapt.formats.FormatException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** A condition on a model beside the agreement of its forms. */
public sealed interface Gate {
    /** A form of a model that a gate measures. */
    enum Of {
        /** The base alone. */
        BASE,
        /** The base with its adapter beside it. */
        UNMERGED,
        MERGED,
        ONNX,
        GGUF;

        static Of named(YamlNode node, String field) {
            String name = node.requireText(field);
            return Arrays.stream(values())
                    .filter(own -> own.toString().equals(name))
                    .findFirst()
                    .orElseThrow(() -> node.wrong(field, "one of base, unmerged, merged, onnx, gguf"));
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * The share of a file's texts whose label a classifier gives.
     *
     * @param least 0 to 1
     */
    record Accuracy(Path file, Of of, double least) implements Gate {}

    /** The time of a run of one form over that of another, medians of runs in turn. */
    record Latency(Of of, Of over, double most) implements Gate {}

    /** The bytes of a form's weights. */
    record Size(Of of, long most) implements Gate {}

    static List<Gate> of(YamlNode model) {
        return model.nodes("gates").stream().map(Gate::one).toList();
    }

    private static Gate one(YamlNode gate) {
        gate.requireOnly(Set.of("accuracy", "latency", "size"));
        if (gate.fields().size() != 1) {
            throw new FormatException(
                    gate.file(),
                    gate.place(),
                    "expected one of accuracy, latency and size, found "
                            + gate.fields().size());
        }
        Optional<YamlNode> accuracy = gate.node("accuracy");
        if (accuracy.isPresent()) {
            YamlNode own = accuracy.get();
            own.requireOnly(Set.of("file", "of", "least"));
            return new Accuracy(
                    own.path("file").orElseThrow(() -> own.wrong("file", "a file of labelled texts")),
                    Of.named(own, "of"),
                    own.number("least").filter(least -> least <= 1).orElseThrow(() -> own.wrong("least", "0 to 1")));
        }
        Optional<YamlNode> latency = gate.node("latency");
        if (latency.isPresent()) {
            YamlNode own = latency.get();
            own.requireOnly(Set.of("of", "over", "most"));
            return new Latency(
                    Of.named(own, "of"),
                    Of.named(own, "over"),
                    own.number("most").orElseThrow(() -> own.wrong("most", "a ratio, such as 1.05")));
        }
        YamlNode own = gate.node("size").orElseThrow();
        own.requireOnly(Set.of("of", "most"));
        return new Size(Of.named(own, "of"), bytes(own));
    }

    private static long bytes(YamlNode own) {
        String text = own.requireText("most").strip().toUpperCase(Locale.ROOT);
        for (int unit = 3; unit >= 0; unit--) {
            String name = List.of("B", "KB", "MB", "GB").get(unit);
            if (text.endsWith(name)) {
                return bytes(own, text.substring(0, text.length() - name.length()), Math.pow(1000, unit));
            }
        }
        return bytes(own, text, 1);
    }

    private static long bytes(YamlNode own, String number, double unit) {
        try {
            double bytes = Double.parseDouble(number.strip()) * unit;
            if (bytes >= 0) {
                return (long) bytes;
            }
        } catch (NumberFormatException e) {
            throw own.wrong("most", "a size, such as 100 MB");
        }
        throw own.wrong("most", "a size, such as 100 MB");
    }
}
