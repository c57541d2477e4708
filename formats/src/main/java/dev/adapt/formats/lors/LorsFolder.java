package dev.adapt.formats.lors;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.ValueCount;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * The files of a model whose layers share weights: those of an adapter, with the model's config.json beside them. Its tensors are those of
 * {@link LorsLayout}, and all others of the model under {@code base_model.model.} and their canonical names.
 */
final class LorsFolder {
    private LorsFolder() {}

    /**
     * Whether a folder holds a model whose layers share weights.
     *
     * @throws FormatException if it has an adapter_config.json that cannot be read
     */
    static boolean isIn(Path folder) throws IOException {
        Path config = folder.resolve(AdapterConfig.FILE);
        return Files.exists(config)
                && AdapterConfig.read(config)
                        .document()
                        .string("peft_type")
                        .filter(LorsLayout.NAME::equals)
                        .isPresent();
    }

    /**
     * Makes sure that all files are there.
     *
     * @throws NoSuchFileException naming the first that is missing
     */
    static void requireFiles(Path folder) throws NoSuchFileException {
        for (String name : List.of(AdapterConfig.FILE, Adapter.FILE)) {
            if (!Files.exists(folder.resolve(name))) {
                throw new NoSuchFileException(
                        folder.toString(),
                        null,
                        "holds no " + name + ": not the folder of a model whose layers share weights");
            }
        }
        if (!Files.exists(folder.resolve(ModelConfig.FILE))) {
            throw new NoSuchFileException(
                    folder.toString(),
                    null,
                    "holds no " + ModelConfig.FILE + ", without which its tensors are no model");
        }
    }

    /**
     * Reads a folder.
     *
     * @param file its open tensors
     * @param values the tensor of one in the file
     * @throws FormatException if a config is broken, or the tensors are not those that the two configs call for
     */
    static StackedModel read(Path folder, SafetensorsFile file, Function<TensorView, Tensor> values)
            throws IOException {
        AdapterConfig config = AdapterConfig.read(folder.resolve(AdapterConfig.FILE));
        if (!config.peftType().equals(LorsLayout.NAME)) {
            throw config.document()
                    .wrong("peft_type", "\"" + LorsLayout.NAME + "\", a model whose layers share weights");
        }
        config.unknown(Set.of(LorsLayout.GROUPS));
        LorsLayout layout = LorsLayout.of(config);
        Map<String, Tensor> parts = new TreeMap<>();
        Map<String, Tensor> others = new TreeMap<>();
        for (TensorView tensor : file.tensors()) {
            String key = tensor.name();
            if (LorsLayout.isOfStack(key) || !key.startsWith(Adapter.MODULE_PREFIX)) {
                parts.put(key, values.apply(tensor));
            } else if (Adapter.isOfMethod(key)) {
                throw new FormatException(
                        file.path(), key, "is no tensor of " + LorsLayout.NAME + " as its config describes it");
            } else {
                others.put(key.substring(Adapter.MODULE_PREFIX.length()), values.apply(tensor));
            }
        }
        ModelConfig model = ModelConfig.read(folder.resolve(ModelConfig.FILE));
        List<String> names = config.targetModules().names();
        if (names.isEmpty()) {
            throw config.document().wrong("target_modules", "the names of the modules that share weights");
        }
        List<Target> targets = Binding.targets(model, names);
        layout.misfit(targets).ifPresent(fault -> {
            throw new FormatException(config.path(), fault);
        });
        requireShapes(file.path(), layout.shapes(targets), parts);
        return StackedModel.of(model, Stacks.of(layout, targets, parts), names, others);
    }

    private static void requireShapes(Path file, Map<String, Shape> expected, Map<String, Tensor> found) {
        expected.forEach((key, shape) -> {
            Tensor tensor = found.get(key);
            if (tensor == null) {
                throw new FormatException(file, key, "is missing, expected a tensor of shape " + shape);
            }
            if (!tensor.shape().equals(shape)) {
                throw new FormatException(
                        file, key, "has shape " + tensor.shape() + ", its layers in the model need " + shape);
            }
        });
        Set<String> unused = new TreeSet<>(found.keySet());
        unused.removeAll(expected.keySet());
        if (!unused.isEmpty()) {
            throw new FormatException(
                    file, "holds tensors that no module that shares weights uses: " + String.join(", ", unused));
        }
    }

    /** The key of a tensor that no layers share, by canonical name. */
    static String key(String canonical) {
        return Adapter.MODULE_PREFIX + canonical;
    }

    /**
     * Writes the file of the tensors, in float32, and its config, each whole or not at all.
     *
     * @return the file
     */
    static Path write(StackedModel model, Path folder) throws IOException {
        Path file = folder.resolve(Adapter.FILE);
        Map<String, FloatTensor> stored = new LinkedHashMap<>();
        model.stacks().tensors().forEach((key, tensor) -> stored.put(key, FloatTensor.of(tensor)));
        model.others().forEach((name, tensor) -> stored.put(key(name), FloatTensor.of(tensor)));
        ValueCount.requireFiniteResults(file, stored);
        SafetensorsWriter.write(file, stored, Map.of("format", "pt"));
        JsonDocument config = config(model, folder.resolve(AdapterConfig.FILE));
        try (OutputFile pending = Outputs.replacing().file(config.path())) {
            pending.text(config.text());
            pending.commit();
        }
        return file;
    }

    /** The config with the fields that PEFT writes for every method, in alphabetical order. */
    private static JsonDocument config(StackedModel model, Path path) {
        ObjectNode json = new JsonMapper().createObjectNode();
        for (String field : List.of(
                "auto_mapping",
                "base_model_name_or_path",
                "layers_pattern",
                "layers_to_transform",
                "modules_to_save",
                "revision",
                "task_type")) {
            json.putNull(field);
        }
        json.put("bias", "none");
        json.put("fan_in_fan_out", model.stacks().targets().stream().anyMatch(Target::transposed));
        json.put("inference_mode", true);
        json.put("peft_type", LorsLayout.NAME);
        model.targets().forEach(json.putArray("target_modules")::add);
        model.stacks().layout().describe(json);
        List<String> fields = new ArrayList<>();
        json.fieldNames().forEachRemaining(fields::add);
        ObjectNode sorted = new JsonMapper().createObjectNode();
        fields.stream().sorted().forEach(field -> sorted.set(field, json.get(field)));
        return new JsonDocument(path, sorted);
    }
}
