package dev.adapt.merge.convert;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Rounding;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;

/**
 * Several adapters made into one LoRA adapter, module by module; a module that some of them lack is made of the others.
 *
 * @param weights one for each adapter
 */
public record AdapterCombination(Combination how, List<Double> weights) {
    public AdapterCombination {
        weights = List.copyOf(weights);
    }

    /**
     * What a combination made.
     *
     * @param modules how many layers
     * @param rank of all of them
     */
    public record Result(int modules, int rank, Rounding rounding, long bytes) {}

    /** One adapter's layer, and which adapter it is of. */
    private record Place(int adapter, AdapterLayers of, Target target) {}

    /**
     * Combines adapters.
     *
     * @param dtype of the result
     * @throws FormatException if an adapter is not of a kind that the type combines, or two of them do not go together
     */
    public Result combine(List<AdapterLayers> adapters, Dtype dtype, Path out) throws IOException {
        return combine(adapters, dtype, out, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public Result combine(List<AdapterLayers> adapters, Dtype dtype, Path out, Outputs outputs) throws IOException {
        outputs.requireFolder(out, AdapterOutput.FILES);
        if (adapters.size() != weights.size()) {
            throw new IllegalArgumentException(adapters.size() + " adapters, " + weights.size() + " weights");
        }
        requireKinds(adapters);
        SequencedMap<String, List<Place>> modules = new LinkedHashMap<>();
        for (int i = 0; i < adapters.size(); i++) {
            for (Target target : adapters.get(i).targets()) {
                modules.computeIfAbsent(target.module(), absent -> new ArrayList<>())
                        .add(new Place(i, adapters.get(i), target));
            }
        }
        AdapterOutput output = head(adapters, List.copyOf(modules.keySet()));
        List<AdapterLayers.Layer> layers = new ArrayList<>();
        modules.forEach((module, places) -> layers.add(layer(module, places)));
        LoraAdapter lora = new LoraAdapter(layers).uniform();
        Path first = adapters.getFirst().file();
        lora.into(output, first, dtype);
        output.writeFolder(out, outputs);
        return new Result(layers.size(), lora.layers().getFirst().factors().rank(), output.rounding(), output.bytes());
    }

    private void requireKinds(List<AdapterLayers> adapters) {
        for (AdapterLayers adapter : adapters) {
            if (adapter.adapter().isEmpty()) {
                throw new FormatException(adapter.file(), "has kohya's keys; convert it with `adapt convert` first");
            }
            boolean lora = adapter.adapter().get().method() instanceof Lora;
            if (how.type().onFactors() && !lora) {
                throw new FormatException(
                        adapter.file(),
                        "is " + adapter.adapter().get().method().peftType() + ", and " + how.type()
                                + " combines LoRA's A and B; take cat or svd, or convert it with"
                                + " `adapt convert --to lora`");
            }
        }
    }

    private AdapterLayers.Layer layer(String module, List<Place> places) {
        List<Combination.Term> terms = new ArrayList<>();
        for (Place place : places) {
            AdapterLayers.Layer layer = place.of().layer().apply(place.target());
            layer.requireWeightOnly(place.of().file());
            if (layer.whole().isPresent()) {
                throw new FormatException(
                        place.of().file(),
                        "makes changes that are not of low rank; make it LoRA with `adapt convert --to lora --base BASE --rank N`");
            }
            terms.add(new Combination.Term(
                    place.adapter(), layer.factors(), layer.scale(), weights.get(place.adapter())));
            requireFitting(module, places.getFirst(), place, terms.getFirst().factors(), layer.factors());
        }
        try {
            Factors combined = how.of(module, terms);
            return new AdapterLayers.Layer(places.getFirst().target(), combined, 1);
        } catch (ArithmeticException e) {
            throw new FormatException(places.getFirst().of().file(), module, "cannot be combined: " + e.getMessage());
        }
    }

    private void requireFitting(String module, Place first, Place place, Factors expected, Factors found) {
        if (expected.out() != found.out() || expected.in() != found.in()) {
            throw new FormatException(
                    place.of().file(),
                    module,
                    "adapts a layer of shape [" + found.out() + ", " + found.in() + "], in "
                            + first.of().file() + " it is [" + expected.out() + ", " + expected.in() + "]");
        }
        if (how.type().onFactors() && expected.rank() != found.rank()) {
            throw new FormatException(
                    place.of().file(),
                    module,
                    "has rank " + found.rank() + ", in " + first.of().file() + " " + expected.rank() + ", and "
                            + how.type() + " needs one rank; take cat, svd or " + how.type() + "_svd");
        }
    }

    /** All but the layers: the first adapter's config, and everything the adapters hold whole. */
    private AdapterOutput head(List<AdapterLayers> sources, List<String> modules) throws IOException {
        ObjectNode config = sources.getFirst().config().deepCopy();
        AdapterOutput output = new AdapterOutput(config);
        Set<String> wholeModules = new LinkedHashSet<>();
        for (AdapterLayers source : sources) {
            Adapter adapter = source.adapter().orElseThrow();
            copyMetadata(adapter, source.metadata(), output);
            wholeModules.addAll(adapter.config().modulesToSave());
            AdapterOutput own = AdapterOutput.copyOf(adapter);
            for (String key : own.keys()) {
                if (!adapter.parts().containsKey(key)) {
                    copyWhole(adapter, key, own, output);
                }
            }
        }
        config.putNull("modules_to_save");
        if (!wholeModules.isEmpty()) {
            ArrayNode names = config.putArray("modules_to_save");
            wholeModules.forEach(names::add);
        }
        nameTargets(config, sources, modules);
        output.metadata().put("adapt.combination", description());
        return output;
    }

    private String description() {
        StringBuilder text = new StringBuilder(how.type() + " weights " + weights);
        if (how.type().prunes()) {
            text.append(" density ").append(how.density());
        }
        if (how.type().electsSign()) {
            text.append(" majority sign ").append(how.sign().toString().toLowerCase(Locale.ROOT));
        }
        if (how.type().draws()) {
            text.append(" seed ").append(how.seed());
        }
        return text.toString();
    }

    private static void copyMetadata(Adapter adapter, Map<String, String> metadata, AdapterOutput output) {
        metadata.forEach((key, value) -> {
            String other = output.metadata().get(key);
            if (key.startsWith(Adapter.BASE_SHA256) && other != null && !other.equals(value)) {
                throw new FormatException(
                        adapter.file(),
                        "was trained on another base than the adapters before it: they record different weights of "
                                + key.substring(Adapter.BASE_SHA256.length()));
            }
            boolean methods = key.startsWith(Adapter.PART_SHA256)
                    || adapter.method().metadata().containsKey(key);
            if (!methods) {
                output.metadata().putIfAbsent(key, value);
            }
        });
    }

    private static void copyWhole(Adapter adapter, String key, AdapterOutput from, AdapterOutput into) {
        FloatTensor values = from.get(key);
        if (into.has(key) && !Arrays.equals(into.get(key).values(), values.values())) {
            throw new FormatException(
                    adapter.file(),
                    key,
                    "is held whole by an adapter before it too, with other values: two heads do not combine");
        }
        into.put(adapter.file(), key, DoubleTensor.of(values), from.dtype(key));
    }

    private static boolean isUnset(ObjectNode config, String field) {
        return !config.hasNonNull(field);
    }

    /** The names of all adapters where they are lists that mean all layers, else the modules themselves. */
    private static void nameTargets(ObjectNode config, List<AdapterLayers> sources, List<String> modules) {
        boolean lists = true;
        Set<String> names = new LinkedHashSet<>();
        for (AdapterLayers source : sources) {
            JsonNode own = source.config().path("target_modules");
            lists &= own.isArray()
                    && isUnset(source.config(), "layers_to_transform")
                    && isUnset(source.config(), "exclude_modules");
            own.forEach(name -> names.add(name.asText()));
        }
        ArrayNode targets = config.putArray("target_modules");
        if (lists) {
            names.forEach(targets::add);
            return;
        }
        for (String field : List.of("layers_to_transform", "layers_pattern", "exclude_modules")) {
            config.putNull(field);
        }
        modules.forEach(targets::add);
    }
}
