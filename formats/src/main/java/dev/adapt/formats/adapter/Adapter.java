package dev.adapt.formats.adapter;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedSet;
import java.util.TreeMap;

/**
 * An adapter as its folder holds it: {@code adapter_config.json} and {@code adapter_model.safetensors}, as PEFT lays
 * them out. What its modules are in a given base is for {@link BoundAdapter}.
 *
 * @param file the safetensors file
 * @param modules the adapted modules, as its keys spell them
 * @param parts the method's tensors by key
 * @param saved tensors of modules it holds whole, by name in the model
 */
public record Adapter(
        Path file,
        AdapterConfig config,
        AdapterMethod method,
        SequencedSet<String> modules,
        Map<String, FloatTensor> parts,
        Map<String, FloatTensor> saved,
        Map<String, String> metadata) {
    /** The tensors' file in an adapter folder. */
    public static final String FILE = "adapter_model.safetensors";

    /** What PEFT's keys begin with, before a tensor that all layers share. */
    static final String SHARED_PREFIX = "base_model.";

    /** What PEFT's keys begin with, before the name of a module. */
    public static final String MODULE_PREFIX = "base_model.model.";

    /**
     * Reads an adapter folder.
     *
     * @throws NoSuchFileException if there is none, or it lacks one of the two files
     * @throws FormatException if a file is broken, or holds what no supported method explains
     */
    public static Adapter read(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            throw new NoSuchFileException(folder.toString());
        }
        for (String name : List.of(AdapterConfig.FILE, FILE)) {
            if (!Files.exists(folder.resolve(name))) {
                throw new NoSuchFileException(folder.toString(), null, "holds no " + name + ": not an adapter folder");
            }
        }
        AdapterConfig config = AdapterConfig.read(folder.resolve(AdapterConfig.FILE));
        try (SafetensorsFile tensors = SafetensorsFile.open(folder.resolve(FILE))) {
            AdapterMethod method = AdapterMethod.of(config, tensors.metadata());
            SequencedSet<String> modules = new LinkedHashSet<>();
            Map<String, FloatTensor> parts = new TreeMap<>();
            Map<String, FloatTensor> saved = new TreeMap<>();
            for (TensorView tensor : tensors.tensors()) {
                String key = tensor.name();
                FloatTensor values = new FloatTensor(tensor.shape(), tensor.toFloats());
                Optional<String> module = moduleOf(method, key);
                if (module.isPresent()) {
                    modules.add(module.get());
                    parts.put(key, values);
                } else if (key.startsWith(MODULE_PREFIX)) {
                    saved.put(savedName(tensor, config), values);
                } else if (key.startsWith(SHARED_PREFIX)) {
                    parts.put(key, values);
                } else {
                    throw new FormatException(
                            tensors.path(), key, "expected a key that begins with \"" + SHARED_PREFIX + "\"");
                }
            }
            if (modules.isEmpty()) {
                throw new FormatException(
                        tensors.path(), "holds no tensor of " + method.peftType() + ", the config's peft_type");
            }
            return new Adapter(tensors.path(), config, method, modules, parts, saved, tensors.metadata());
        }
    }

    private static Optional<String> moduleOf(AdapterMethod method, String key) {
        return method.partNames().stream()
                .filter(part -> key.startsWith(MODULE_PREFIX) && key.endsWith("." + part))
                .map(part -> key.substring(MODULE_PREFIX.length(), key.length() - part.length() - 1))
                .findFirst();
    }

    /** {@code base_model.model.classifier.weight} is {@code classifier.weight}, if the config saves that module. */
    private static String savedName(TensorView tensor, AdapterConfig config) {
        String name = tensor.name().substring(MODULE_PREFIX.length()).replace(".modules_to_save.", ".");
        for (String module : config.modulesToSave()) {
            if (name.startsWith(module + ".") || name.contains("." + module + ".")) {
                return name;
            }
        }
        throw new FormatException(
                tensor.file(),
                tensor.name(),
                "is neither a tensor of " + config.peftType() + " nor of a module in modules_to_save "
                        + config.modulesToSave());
    }

    /** Whether its metadata say which base it was trained on. */
    public boolean recordsBase() {
        return metadata.keySet().stream().anyMatch(key -> key.startsWith(BoundAdapter.BASE_SHA256));
    }

    /** The same adapter under a variant of its method. */
    public Adapter with(AdapterMethod other) {
        return new Adapter(file, config, other, modules, parts, saved, metadata);
    }
}
