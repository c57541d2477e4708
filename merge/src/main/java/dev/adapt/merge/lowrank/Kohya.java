package dev.adapt.merge.lowrank;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.ValueCount;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * The layout of kohya-ss's sd-scripts: one safetensors file with, for each module, {@code NAME.lora_down.weight} (A),
 * {@code NAME.lora_up.weight} (B) and {@code NAME.alpha}. NAME is a prefix and the module's name with its dots turned to
 * underscores, so that only the base tells which module it means; a file of ours records it in its metadata too.
 */
final class Kohya {
    /** The prefix that a file gets where the user does not choose. */
    static final String PREFIX = "lora_unet_";

    private static final List<String> PREFIXES =
            List.of("lora_unet_", "lora_te1_", "lora_te2_", "lora_te3_", "lora_te_", "lora_");
    private static final String DOWN = ".lora_down.weight";
    private static final String UP = ".lora_up.weight";
    private static final String ALPHA = ".alpha";

    /** What metadata keys begin with that record a module's name, before its flattened one. */
    private static final String MODULE = "adapt.module.";

    private Kohya() {}

    /** The tensors of one module. */
    private record Entry(DoubleTensor down, DoubleTensor up, double alpha) {}

    static AdapterLayers read(Path path, Optional<Checkpoint> base) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(InputFile.named(path))) {
            SequencedMap<String, Entry> entries = entries(file);
            Map<String, Target> targets = targets(file, entries, base);
            Map<Target, Entry> byTarget = new LinkedHashMap<>();
            entries.forEach((name, entry) -> {
                if (byTarget.put(targets.get(name), entry) != null) {
                    throw new FormatException(path, name, "means a module that another name means too");
                }
            });
            List<Target> all = List.copyOf(byTarget.keySet());
            ObjectNode config = AdapterOutput.on(
                            base.map(own -> own.path().toString()).orElse(""),
                            all,
                            all.stream().map(Target::module).toList(),
                            List.of())
                    .config();
            return new AdapterLayers(
                    path,
                    config,
                    metadata(file, all),
                    dtype(file),
                    all,
                    Optional.empty(),
                    target -> layer(byTarget, target));
        }
    }

    private static AdapterLayers.Layer layer(Map<Target, Entry> entries, Target target) {
        Entry entry = entries.get(target);
        if (entry == null) {
            throw new IllegalArgumentException("no layer " + target.module());
        }
        Factors factors = new Factors(entry.up(), entry.down());
        return new AdapterLayers.Layer(target, factors, entry.alpha() / factors.rank());
    }

    private static Map<String, String> metadata(SafetensorsFile file, List<Target> targets) {
        Map<String, String> metadata = new TreeMap<>(
                AdapterOutput.on("", targets, List.of(), List.of()).metadata());
        file.metadata().forEach((key, value) -> {
            if (!key.startsWith(MODULE)) {
                metadata.put(key, value);
            }
        });
        return metadata;
    }

    private static Dtype dtype(SafetensorsFile file) {
        return file.tensors().stream()
                .filter(tensor -> tensor.name().endsWith(DOWN))
                .findFirst()
                .orElseThrow()
                .dtype();
    }

    private static SequencedMap<String, Entry> entries(SafetensorsFile file) {
        Map<String, TensorView> tensors = new TreeMap<>();
        TreeSet<String> names = new TreeSet<>();
        for (TensorView tensor : file.tensors()) {
            tensors.put(tensor.name(), tensor);
            names.add(moduleName(file, tensor));
        }
        if (names.isEmpty()) {
            throw new FormatException(file.path(), "holds no tensors");
        }
        SequencedMap<String, Entry> entries = new LinkedHashMap<>();
        for (String name : names) {
            DoubleTensor down = matrix(file, tensors.get(name + DOWN), name + DOWN);
            DoubleTensor up = matrix(file, tensors.get(name + UP), name + UP);
            if (down.shape().dim(0) != up.shape().dim(1)) {
                throw new FormatException(
                        file.path(),
                        name,
                        "its lora_down " + down.shape() + " and lora_up " + up.shape() + " do not agree on a rank");
            }
            TensorView alpha = tensors.get(name + ALPHA);
            entries.put(name, new Entry(down, up, alpha == null ? down.shape().dim(0) : scalar(alpha)));
        }
        return entries;
    }

    private static String moduleName(SafetensorsFile file, TensorView tensor) {
        for (String ending : List.of(DOWN, UP, ALPHA)) {
            if (tensor.name().endsWith(ending)) {
                return tensor.name().substring(0, tensor.name().length() - ending.length());
            }
        }
        throw new FormatException(
                file.path(),
                tensor.name(),
                "is neither lora_down.weight, lora_up.weight nor alpha of a module; a PEFT adapter is given as its folder,"
                        + " and other methods than LoRA are not supported");
    }

    private static double scalar(TensorView alpha) {
        if (alpha.shape().elements() != 1) {
            throw new FormatException(
                    alpha.file(), alpha.name(), "has shape " + alpha.shape() + ", expected one number");
        }
        return ValueCount.requireFinite(alpha.file(), alpha.name(), alpha.requireFloats())
                .toFloats()[0];
    }

    /** A linear layer's factor: [rows, columns], or the same as a convolution of one element. */
    private static DoubleTensor matrix(SafetensorsFile file, @Nullable TensorView tensor, String key) {
        if (tensor == null) {
            throw new FormatException(file.path(), key, "is missing");
        }
        Shape shape = tensor.shape();
        boolean point = shape.rank() == 4 && shape.dim(2) == 1 && shape.dim(3) == 1;
        if ((shape.rank() != 2 && !point) || shape.elements() == 0) {
            throw new FormatException(
                    file.path(), key, "has shape " + shape + ", expected the matrix of a linear layer");
        }
        return new DoubleTensor(
                Shape.of(shape.dim(0), shape.dim(1)),
                DoubleTensor.of(ValueCount.requireFinite(file.path(), key, tensor.requireFloats()))
                        .values());
    }

    private static Map<String, Target> targets(
            SafetensorsFile file, SequencedMap<String, Entry> entries, Optional<Checkpoint> base) {
        Map<String, Target> targets = new TreeMap<>();
        Optional<Binding> binding = base.map(Binding::new);
        Map<String, NavigableSet<String>> flattened =
                binding.map(Kohya::flattened).orElse(Map.of());
        List<String> unknown = new ArrayList<>();
        entries.forEach((name, entry) -> {
            int out = Math.toIntExact(entry.up().shape().dim(0));
            int in = Math.toIntExact(entry.down().shape().dim(1));
            String recorded = file.metadata().get(MODULE + name);
            if (recorded != null && binding.isEmpty()) {
                targets.put(name, new Target(recorded, recorded, recorded, out, in, false));
                return;
            }
            NavigableSet<String> meant = recorded == null ? meant(flattened, name) : new TreeSet<>(List.of(recorded));
            if (meant.size() > 1) {
                throw new FormatException(file.path(), name, "means more than one module: " + String.join(", ", meant));
            }
            Optional<Target> found =
                    meant.isEmpty() ? Optional.empty() : binding.flatMap(own -> own.layer(meant.first()));
            found.ifPresentOrElse(
                    target -> targets.put(name, fitting(file, name, target, out, in)), () -> unknown.add(name));
        });
        if (!unknown.isEmpty()) {
            String some = String.join(", ", unknown.subList(0, Math.min(3, unknown.size())));
            throw new FormatException(
                    file.path(),
                    base.isEmpty()
                            ? "its names, such as " + some
                                    + ", do not tell dots from underscores; give the base it adapts with --base"
                            : unknown.size() + " of its " + entries.size() + " modules are not in "
                                    + base.get().path() + ": " + some + "; give the base it adapts");
        }
        return targets;
    }

    private static Target fitting(SafetensorsFile file, String name, Target target, int out, int in) {
        if (target.out() != out || target.in() != in) {
            throw new FormatException(
                    file.path(),
                    name,
                    "adapts a layer of shape [" + out + ", " + in + "], in the base " + target.module() + " is ["
                            + target.out() + ", " + target.in() + "]");
        }
        return target;
    }

    /** The base's modules by their names without dots. */
    private static Map<String, NavigableSet<String>> flattened(Binding base) {
        Map<String, NavigableSet<String>> names = new TreeMap<>();
        base.matrixModules().forEach((module, canonical) -> {
            for (String name : List.of(module, canonical)) {
                names.computeIfAbsent(flat(name), absent -> new TreeSet<>()).add(module);
            }
        });
        return names;
    }

    private static NavigableSet<String> meant(Map<String, NavigableSet<String>> flattened, String name) {
        for (String prefix : PREFIXES) {
            if (name.startsWith(prefix)) {
                NavigableSet<String> meant = flattened.get(name.substring(prefix.length()));
                if (meant != null) {
                    return meant;
                }
            }
        }
        return flattened.getOrDefault(name, new TreeSet<>());
    }

    private static String flat(String module) {
        return module.replace('.', '_');
    }

    /** Writes layers in this layout. */
    static void into(AdapterOutput output, Path source, List<AdapterLayers.Layer> layers, String prefix, Dtype dtype) {
        Map<String, String> modules = new TreeMap<>();
        for (AdapterLayers.Layer layer : layers) {
            String module = layer.target().module();
            String name = prefix + flat(module);
            String other = modules.put(name, module);
            if (other != null) {
                throw new FormatException(
                        source, "cannot have kohya's names: " + other + " and " + module + " would both be " + name);
            }
            output.metadata().put(MODULE + name, module);
            output.put(source, name + DOWN, layer.factors().right(), dtype);
            output.put(source, name + UP, layer.factors().left(), dtype);
            double alpha = layer.scale() * layer.factors().rank();
            output.put(source, name + ALPHA, new DoubleTensor(Shape.of(), new double[] {alpha}), Dtype.F32);
        }
        output.metadata().put("ss_network_module", "networks.lora");
    }
}
