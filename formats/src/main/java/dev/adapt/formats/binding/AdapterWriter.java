package dev.adapt.formats.binding;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.TargetModules;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.TensorDigest;
import dev.adapt.formats.tensor.ValueCount;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Writes an adapter's two files as PEFT lays them out. */
record AdapterWriter(BoundAdapter adapter) {
    void write(Path folder, List<String> targetNames, Path base, Dtype dtype) throws IOException {
        Map<String, FloatTensor> stored = new LinkedHashMap<>();
        adapter.keys(Part::stored)
                .forEach(key -> stored.put(key, FloatTensor.of(BoundAdapter.require(adapter.tensors(), key))));
        adapter.saved().forEach((name, tensor) -> stored.put(savedKey(name), FloatTensor.of(tensor)));
        ValueCount.requireFiniteResults(folder.resolve(Adapter.FILE), stored);
        Set<String> integers = Set.copyOf(adapter.keys(part -> adapter.method().isInteger(part.name())));
        SafetensorsWriter.write(
                folder.resolve(Adapter.FILE), stored, key -> integers.contains(key) ? Dtype.I32 : dtype, metadata());
        JsonDocument config = config(folder.resolve(AdapterConfig.FILE), targetNames, base);
        try (OutputFile pending = Outputs.replacing().file(config.path())) {
            pending.text(config.text());
            pending.commit();
        }
    }

    private Map<String, String> metadata() {
        Map<String, String> metadata = new TreeMap<>();
        metadata.put("format", "pt");
        metadata.putAll(adapter.method().metadata());
        metadata.putAll(BaseRecord.of(adapter.method(), adapter.targets(), adapter.baseDigests()));
        Set<String> digested = new LinkedHashSet<>();
        for (Target target : adapter.targets()) {
            for (Part part : adapter.method().parts(target, adapter.targets())) {
                if (part.initial() instanceof Initial.Regenerated && digested.add(part.id(target))) {
                    metadata.put(
                            Adapter.PART_SHA256 + part.id(target),
                            TensorDigest.ofFloats(
                                    BoundAdapter.require(adapter.tensors(), BoundAdapter.key(part, target))));
                }
            }
        }
        adapter.head().ifPresent(own -> metadata.putAll(HeadMetadata.of(own)));
        adapter.change().prompt().ifPresent(own -> metadata.put(PromptFormat.METADATA, own.key()));
        return metadata;
    }

    /**
     * The key of a saved tensor in the adapter's file: PEFT wraps the layers it adapts, and the bias of such a layer is the
     * layer's beneath.
     */
    private String savedKey(String canonical) {
        String name = adapter.savedNames().getOrDefault(canonical, canonical);
        String module = moduleOf(name);
        boolean wrapped =
                adapter.targets().stream().anyMatch(target -> target.module().equals(module));
        return Adapter.MODULE_PREFIX
                + (wrapped ? module + Adapter.BASE_LAYER + name.substring(module.length() + 1) : name);
    }

    private static String moduleOf(String tensor) {
        return tensor.substring(0, Math.max(0, tensor.lastIndexOf('.')));
    }

    /**
     * The config with all fields that PEFT 0.21 writes, in its alphabetical order, but for {@code peft_version}: PEFT did not
     * write it.
     */
    private JsonDocument config(Path path, List<String> targetNames, Path base) {
        ObjectNode json = new JsonMapper().createObjectNode();
        json.putNull("auto_mapping");
        json.put("base_model_name_or_path", base.toString());
        json.put(
                "fan_in_fan_out",
                adapter.targets().stream()
                        .anyMatch(target -> target.transposed() && target.storage() instanceof Storage.Linear));
        json.put("inference_mode", true);
        json.putNull("layers_pattern");
        json.putNull("layers_to_transform");
        json.put("peft_type", adapter.method().peftType());
        json.putNull("revision");
        json.putNull("task_type");
        ArrayNode names = json.putArray("target_modules");
        modules(targetNames).forEach(names::add);
        adapter.method().describe(json);
        Set<String> parameters = parameters();
        if (!parameters.isEmpty()) {
            parameters.forEach(json.putArray(TargetParameters.FIELD)::add);
        }
        describeSaved(json);
        ObjectNode sorted = new JsonMapper().createObjectNode();
        new TreeMap<>(json.properties().stream().collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue)))
                .forEach(sorted::set);
        return new JsonDocument(path, sorted);
    }

    /** For {@code target_parameters}: the adapted stacks of experts, by the ends of their names after the layer's number. */
    private Set<String> parameters() {
        return adapter.targets().stream()
                .filter(Target::isParameter)
                .map(target -> target.parameter().replaceFirst("^.*\\.\\d+\\.", ""))
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /**
     * For {@code target_modules}: the wanted names without those of stacks. A canonical name that the checkpoint does not use
     * ({@code gate_proj} of Mixtral) is replaced by the checkpoint's ({@code w1}).
     */
    private Set<String> modules(List<String> wanted) {
        Set<String> modules = new LinkedHashSet<>();
        for (String name : wanted) {
            List<Target> canonical = adapter.targets().stream()
                    .filter(target -> TargetModules.names(name, target.canonical()))
                    .toList();
            boolean spelled = adapter.targets().stream()
                    .anyMatch(target -> !target.isParameter() && TargetModules.names(name, target.module()));
            boolean parameter = adapter.targets().stream()
                    .anyMatch(target -> target.isParameter() && TargetModules.names(name, target.parameter()));
            if (spelled || (canonical.isEmpty() && !parameter)) {
                modules.add(name);
            } else if (!parameter) {
                canonical.forEach(target ->
                        modules.add(target.module().substring(target.module().lastIndexOf('.') + 1)));
            }
        }
        return modules;
    }

    /** Biases without their weights are a trained bias's; whatever else is held whole is a saved module's. */
    private void describeSaved(ObjectNode json) {
        Set<String> adapted = adapter.targets().stream().map(Target::module).collect(Collectors.toSet());
        Set<String> modules = new LinkedHashSet<>();
        boolean biases = false;
        for (String canonical : adapter.saved().keySet()) {
            String name = adapter.savedNames().getOrDefault(canonical, canonical);
            String module = moduleOf(name);
            boolean weighted = adapter.saved().containsKey(moduleOf(canonical) + ".weight");
            String first = name.substring(0, Math.max(0, name.indexOf('.')));
            boolean ofHead = first.equals(Head.MODULE) || first.equals(Head.SCORE);
            if (name.endsWith(".bias") && !weighted && !ofHead) {
                biases = true;
            } else if (!adapted.contains(module)) {
                modules.add(ofHead ? first : module);
            }
        }
        json.put("bias", biases ? "all" : "none");
        if (modules.isEmpty()) {
            json.putNull("modules_to_save");
        } else {
            modules.forEach(json.putArray("modules_to_save")::add);
        }
    }
}
