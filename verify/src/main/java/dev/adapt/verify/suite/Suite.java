package dev.adapt.verify.suite;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.verify.compare.Tolerance;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.form.Settings;
import dev.adapt.verify.runner.Device;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Models to verify together.
 *
 * @param name of the file, without its ending
 * @param parallel how many run at a time at most; 0 for as many as there are processors
 */
public record Suite(String name, List<Model> models, int parallel) {
    private static final Set<String> SETTINGS = Set.of(
            "inputs",
            "seed",
            "thorough",
            "tolerance",
            "tolerance-fp16",
            "device",
            "reference",
            "texts",
            "input-tensors");
    private static final Set<String> FORMS =
            Set.of("name", "base", "adapter", "merged", "gguf", "onnx", "onnx-adapter", "gates");
    private static final int MOST = 1000;

    /**
     * One model.
     *
     * @param texts a file of texts to compare on
     */
    public record Model(String name, Forms forms, Settings settings, Optional<Path> texts, List<Gate> gates) {
        public Model {
            gates = List.copyOf(gates);
        }
    }

    public Suite {
        models = List.copyOf(models);
    }

    /**
     * Reads a file. Paths in it are relative to its folder.
     *
     * @throws FormatException if it is no YAML, or a field is unknown, missing or has a value that cannot be
     */
    public static Suite read(Path file) throws IOException {
        YamlNode root = YamlNode.read(file);
        root.requireOnly(Set.of("defaults", "models", "parallel"));
        YamlNode defaults = root.node("defaults").orElse(new YamlNode(file, "defaults", Map.of()));
        defaults.requireOnly(SETTINGS);
        List<YamlNode> nodes = root.nodes("models");
        if (nodes.isEmpty() || nodes.size() > MOST) {
            throw new FormatException(
                    file, "models", "expected a list of 1 to " + MOST + " models, found " + nodes.size());
        }
        List<Model> models = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (YamlNode node : nodes) {
            Model model = model(node, defaults);
            if (!names.add(model.name())) {
                throw new FormatException(file, node.place(), "has the name of another model, " + model.name());
            }
            models.add(model);
        }
        int parallel = root.number("parallel").map(Double::intValue).orElse(0);
        String name = String.valueOf(file.getFileName()).replaceFirst("\\.ya?ml$", "");
        return new Suite(name, models, parallel);
    }

    private static Model model(YamlNode node, YamlNode defaults) {
        Set<String> known = new HashSet<>(SETTINGS);
        known.addAll(FORMS);
        node.requireOnly(known);
        try {
            Forms forms = new Forms(
                    node.path("base"),
                    node.path("adapter"),
                    node.paths("merged"),
                    node.paths("gguf"),
                    node.paths("onnx"),
                    node.path("onnx-adapter"));
            return new Model(
                    node.requireText("name"),
                    forms,
                    settings(node, defaults),
                    node.path("texts").or(() -> defaults.path("texts")),
                    Gate.of(node));
        } catch (UsageException e) {
            throw new FormatException(node.file(), node.place(), e.problem());
        }
    }

    private static Settings settings(YamlNode own, YamlNode defaults) {
        Settings usual = Settings.DEFAULT;
        YamlNode deviceOf = own.fields().containsKey("device") ? own : defaults;
        Device device = deviceOf.text("device")
                .map(name -> {
                    try {
                        return Device.valueOf(name.toUpperCase(Locale.ROOT));
                    } catch (IllegalArgumentException e) {
                        throw deviceOf.wrong("device", "auto, cpu or cuda");
                    }
                })
                .orElse(usual.device());
        return new Settings(
                number(own, defaults, "inputs").map(Double::intValue).orElse(usual.count()),
                number(own, defaults, "seed").map(Double::longValue).orElse(usual.seed()),
                own.flag("thorough").or(() -> defaults.flag("thorough")).orElse(usual.thorough()),
                Optional.empty(),
                own.path("input-tensors").or(() -> defaults.path("input-tensors")),
                new Tolerance(
                        number(own, defaults, "tolerance").orElse(Tolerance.DEFAULT.fp32()),
                        number(own, defaults, "tolerance-fp16").orElse(Tolerance.DEFAULT.fp16())),
                device,
                own.flag("reference").or(() -> defaults.flag("reference")).orElse(usual.reference()),
                Optional.empty());
    }

    private static Optional<Double> number(YamlNode own, YamlNode defaults, String field) {
        return own.number(field).or(() -> defaults.number(field));
    }
}
