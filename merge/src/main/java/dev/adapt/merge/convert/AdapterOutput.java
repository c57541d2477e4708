package dev.adapt.merge.convert;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.ValueCount;
import dev.adapt.merge.lowrank.Rounding;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeMap;

/** An adapter to be written: its config, its metadata, and its tensors with the dtype each gets. */
final class AdapterOutput {
    /** A tensor, and how it is stored; its values are those that the dtype holds. */
    private record Stored(FloatTensor values, Dtype dtype) {}

    /** The files of an adapter folder. */
    static final Set<String> FILES = Set.of(Adapter.FILE, AdapterConfig.FILE);

    private final ObjectNode config;
    private final Map<String, String> metadata = new TreeMap<>();
    private final SequencedMap<String, Stored> tensors = new LinkedHashMap<>();
    private Rounding rounding = Rounding.NONE;

    AdapterOutput(ObjectNode config) {
        this.config = config;
        metadata.put("format", "pt");
    }

    /** A copy of an adapter, tensor by tensor in the dtypes it has. */
    static AdapterOutput copyOf(Adapter adapter) throws IOException {
        AdapterOutput copy =
                new AdapterOutput(adapter.config().document().json().deepCopy());
        copy.metadata.putAll(adapter.metadata());
        try (SafetensorsFile file = SafetensorsFile.open(adapter.file())) {
            for (TensorView tensor : adapter.stored(file)) {
                Tensor part = adapter.parts().get(tensor.name());
                // integers, such as places, were checked when the adapter was read
                FloatTensor values = part != null && !isFloat(tensor.dtype())
                        ? FloatTensor.of(part)
                        : FloatTensor.of(ValueCount.requireFinite(file.path(), tensor.name(), tensor.requireFloats()));
                copy.tensors.put(tensor.name(), new Stored(values, tensor.dtype()));
            }
        }
        return copy;
    }

    /** Begins an adapter of our own making on a base. */
    static AdapterOutput on(String base, List<Target> targets, List<String> targetNames, List<String> saved) {
        ObjectNode config = new JsonMapper().createObjectNode();
        config.putNull("auto_mapping");
        config.put("base_model_name_or_path", base);
        config.put("bias", "none");
        config.put("fan_in_fan_out", targets.stream().anyMatch(Target::transposed));
        config.put("inference_mode", true);
        config.putNull("layers_pattern");
        config.putNull("layers_to_transform");
        config.putNull("modules_to_save");
        if (!saved.isEmpty()) {
            ArrayNode modules = config.putArray("modules_to_save");
            saved.forEach(modules::add);
        }
        config.putNull("revision");
        ArrayNode names = config.putArray("target_modules");
        targetNames.forEach(names::add);
        config.putNull("task_type");
        AdapterOutput output = new AdapterOutput(config);
        targets.forEach(target -> output.metadata.put(
                Adapter.BASE_SHAPE + target.module(),
                Shape.of(target.out(), target.in()).toString()));
        return output;
    }

    ObjectNode config() {
        return config;
    }

    Map<String, String> metadata() {
        return metadata;
    }

    /** The largest error that rounding values to their dtypes made. */
    Rounding rounding() {
        return rounding;
    }

    FloatTensor get(String key) {
        return Objects.requireNonNull(tensors.get(key)).values();
    }

    Dtype dtype(String key) {
        return Objects.requireNonNull(tensors.get(key)).dtype();
    }

    boolean has(String key) {
        return tensors.containsKey(key);
    }

    List<String> keys() {
        return List.copyOf(tensors.keySet());
    }

    void remove(String key) {
        tensors.remove(key);
    }

    /**
     * Adds a tensor, or puts another in its place.
     *
     * @throws FormatException if a value is NaN or infinite, or its dtype can only say infinite
     */
    void put(Path source, String key, DoubleTensor values, Dtype dtype) {
        ValueCount count = ValueCount.nonFinite(values);
        if (count.any()) {
            throw new FormatException(
                    source,
                    key,
                    "would hold " + count + ", though what it is made of is finite: its alpha or weight is too large");
        }
        FloatTensor floats = new FloatTensor(values.shape(), values.toFloats());
        FloatTensor stored = rounded(floats, dtype);
        double error = 0;
        double largest = 0;
        for (int i = 0; i < stored.values().length; i++) {
            double wanted = values.values()[i];
            double found = stored.values()[i];
            if (!Double.isFinite(found)) {
                throw overflow(source, key, stored, wanted, dtype);
            }
            error = Math.max(error, Math.abs(wanted - found));
            largest = Math.max(largest, Math.abs(wanted));
        }
        rounding = rounding.or(new Rounding(key, error, largest == 0 ? 0 : error / largest));
        tensors.put(key, new Stored(stored, dtype));
    }

    private static FormatException overflow(Path source, String key, FloatTensor stored, double wanted, Dtype dtype) {
        ValueCount count = ValueCount.nonFinite(stored);
        String wider = dtype == Dtype.F16 ? "; take bf16 or f32" : "; scale the adapter down";
        return new FormatException(
                source,
                key,
                count.infinite() + " of its " + count.all() + " values, such as " + wanted + ", are larger than "
                        + dtype + " holds" + wider);
    }

    /** The same tensors, all floating-point ones in one dtype. */
    void retype(Path source, Dtype dtype) {
        for (String key : keys()) {
            if (isFloat(dtype(key))) {
                put(source, key, DoubleTensor.of(get(key)), dtype);
            }
        }
    }

    private static boolean isFloat(Dtype dtype) {
        return dtype.floatFormat().isPresent();
    }

    /** Adds a tensor of whole numbers that are not negative, in the narrowest dtype that PEFT would give them. */
    void putIntegers(String key, FloatTensor values) {
        float largest = 0;
        for (float value : values.values()) {
            largest = Math.max(largest, value);
        }
        Dtype narrow = largest < 1 << 15 ? Dtype.I16 : Dtype.I32;
        tensors.put(key, new Stored(values, largest < 1 << 8 ? Dtype.U8 : narrow));
    }

    private static FloatTensor rounded(FloatTensor tensor, Dtype dtype) {
        FloatFormat format = dtype.floatFormat().orElseThrow();
        float[] values = tensor.values().clone();
        MemorySegment bytes = MemorySegment.ofArray(new byte[Math.multiplyExact(values.length, format.bytes())]);
        format.encode(values, 0, values.length, bytes);
        format.decode(bytes, 0, values, values.length);
        return new FloatTensor(tensor.shape(), values);
    }

    /** Writes an adapter folder, whole or not at all. */
    void writeFolder(Path folder, Outputs outputs) throws IOException {
        try (OutputFolder pending = outputs.folder(folder, FILES)) {
            writeTensors(pending.path().resolve(Adapter.FILE));
            pending.text(AdapterConfig.FILE, config.toPrettyString() + "\n");
            pending.commit();
        }
    }

    /** Writes the tensors alone as one file, whole or not at all. */
    void writeFile(Path file, Outputs outputs) throws IOException {
        try (OutputFile pending = outputs.file(file)) {
            writeTensors(pending.path());
            pending.commit();
        }
    }

    private void writeTensors(Path file) throws IOException {
        SafetensorsHeader header = SafetensorsHeader.of(
                tensors.entrySet().stream()
                        .map(entry -> new TensorSpec(
                                entry.getKey(),
                                entry.getValue().dtype(),
                                entry.getValue().values().shape()))
                        .toList(),
                metadata);
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, header)) {
            for (TensorInfo info : header.tensors()) {
                writer.write(info, get(info.name()).values());
            }
        }
    }

    /** The bytes of its tensors. */
    long bytes() {
        return tensors.values().stream()
                .mapToLong(stored ->
                        stored.values().values().length * (long) stored.dtype().bits() / 8)
                .sum();
    }
}
