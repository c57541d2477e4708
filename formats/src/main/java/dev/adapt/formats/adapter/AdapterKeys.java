package dev.adapt.formats.adapter;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The keys of an adapter's file, as PEFT would save them. Files that were saved in another way are read too: with the name of
 * the adapter in each key ({@code lora_A.default.weight}), as a state dict has it, or without the {@code base_model.model.}
 * before it.
 *
 * @param partNames the ends of keys of the method's tensors
 * @param old what older versions of PEFT called parts, by their names then
 * @param prefix what must be put before each key
 * @param adapter the adapter's name that keys hold; empty where they hold none
 */
record AdapterKeys(List<String> partNames, Map<String, String> old, String prefix, String adapter) {
    private static final String WEIGHT = ".weight";

    /** What PEFT keeps of a module that is saved whole: the base's own weight. */
    private static final String ORIGINAL = ".original_module.";

    private static final String SAVED = ".modules_to_save.";

    /** The keys of a file. */
    static AdapterKeys of(AdapterMethod method, SafetensorsFile file) {
        List<TensorView> tensors = file.tensors();
        boolean prefixed = tensors.stream().anyMatch(tensor -> tensor.name().startsWith(Adapter.SHARED_PREFIX));
        List<String> parts = method.partNames();
        Set<String> named = new LinkedHashSet<>();
        boolean plain = false;
        for (TensorView tensor : tensors) {
            String name = renamed(method.oldPartNames(), tensor.name());
            plain |= parts.stream().anyMatch(part -> name.endsWith("." + part));
            parts.forEach(part -> adapterName(name, part).ifPresent(named::add));
        }
        if (!plain && named.size() > 1) {
            throw new FormatException(
                    file.path(),
                    "holds the tensors of several adapters: " + String.join(", ", named) + "; save one alone");
        }
        String adapter = plain || named.isEmpty() ? "" : named.iterator().next();
        return new AdapterKeys(parts, method.oldPartNames(), prefixed ? "" : Adapter.MODULE_PREFIX, adapter);
    }

    /** What stands between the two halves of a part's name: {@code default} in {@code lora_A.default.weight}. */
    private static Optional<String> adapterName(String key, String part) {
        int dot = part.indexOf('.');
        String stem = "." + (dot < 0 ? part : part.substring(0, dot)) + ".";
        String end = dot < 0 ? "" : part.substring(dot);
        int at = key.lastIndexOf(stem);
        if (at < 0 || !key.endsWith(end) || at + stem.length() >= key.length() - end.length()) {
            return Optional.empty();
        }
        String name = key.substring(at + stem.length(), key.length() - end.length());
        String bare =
                end.isEmpty() && name.endsWith(WEIGHT) ? name.substring(0, name.length() - WEIGHT.length()) : name;
        return bare.indexOf('.') < 0 && !bare.equals("weight") && !bare.equals("bias")
                ? Optional.of(bare)
                : Optional.empty();
    }

    /** The tensors of the file under PEFT's keys, without those that are not the adapter's. */
    List<TensorView> in(SafetensorsFile file) {
        List<TensorView> tensors = new ArrayList<>();
        Set<String> keys = new LinkedHashSet<>();
        for (TensorView tensor : file.tensors()) {
            if (tensor.name().contains(SAVED)) {
                keys.add(plain(tensor.name()));
            }
        }
        for (TensorView tensor : file.tensors()) {
            String key = plain(tensor.name());
            boolean saved = tensor.name().contains(SAVED);
            boolean overridden = keys.contains(key) && !saved;
            if (!tensor.name().contains(ORIGINAL) && !overridden) {
                tensors.add(key.equals(tensor.name()) ? tensor : tensor.named(key));
            }
        }
        return tensors;
    }

    /** A key with a part's name of today. */
    private static String renamed(Map<String, String> old, String key) {
        for (Map.Entry<String, String> name : old.entrySet()) {
            int at = key.lastIndexOf("." + name.getKey());
            int end = at + 1 + name.getKey().length();
            if (at >= 0 && (end == key.length() || key.charAt(end) == '.')) {
                return key.substring(0, at + 1) + name.getValue() + key.substring(end);
            }
        }
        return key;
    }

    private String plain(String stored) {
        String key = prefix + renamed(old, stored);
        if (key.contains(SAVED)) {
            String named = SAVED + (adapter.isEmpty() ? "default" : adapter) + ".";
            return key.contains(named) ? key.replace(named, ".") : key.replace(SAVED, ".");
        }
        for (String part : partNames) {
            Optional<String> named = adapter.isEmpty() ? Optional.empty() : adapterName(key, part);
            if (named.filter(adapter::equals).isPresent()) {
                int dot = part.indexOf('.');
                String stem = dot < 0 ? part : part.substring(0, dot);
                return key.substring(0, key.lastIndexOf("." + stem + ".") + 1) + part;
            }
            if (part.indexOf('.') < 0 && key.endsWith("." + part + WEIGHT)) {
                return key.substring(0, key.length() - WEIGHT.length());
            }
        }
        return key;
    }
}
