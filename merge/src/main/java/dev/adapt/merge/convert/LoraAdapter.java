package dev.adapt.merge.convert;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.lowrank.Factors;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Plain LoRA, made of products: {@code ΔW = scale·left·right} of each layer. */
record LoraAdapter(List<AdapterLayers.Layer> layers) {
    LoraAdapter {
        layers = List.copyOf(layers);
    }

    private static int rank(AdapterLayers.Layer layer) {
        return layer.factors().rank();
    }

    private static double alpha(AdapterLayers.Layer layer) {
        return layer.scale() * rank(layer);
    }

    /**
     * The same with one rank and one alpha for all layers, as servers want it that know no patterns. Smaller ranks are
     * filled with zeros; where scales differ they go into the left factors, and alpha is the rank.
     */
    LoraAdapter uniform() {
        return uniform(Optional.empty());
    }

    /**
     * The same, padded to a rank that a server allocates.
     *
     * @throws UsageException if that is smaller than a layer's rank
     */
    LoraAdapter uniform(Optional<Integer> wanted) {
        int most = layers.stream().mapToInt(LoraAdapter::rank).max().orElseThrow();
        int rank = wanted.orElse(most);
        if (rank < most || rank > AdapterConfig.MOST_RANK) {
            throw new UsageException(
                    "pad-rank",
                    "expected " + most + ", the largest rank of a layer, to " + AdapterConfig.MOST_RANK + ", found "
                            + rank);
        }
        boolean oneScale = layers.stream()
                        .mapToDouble(AdapterLayers.Layer::scale)
                        .distinct()
                        .count()
                == 1;
        return new LoraAdapter(layers.stream()
                .map(layer -> new AdapterLayers.Layer(
                        layer.target(),
                        Optional.of(padded(layer.factors(), oneScale ? 1 : layer.scale(), rank)),
                        oneScale ? layer.scale() : 1,
                        layer.whole(),
                        layer.changesBias()))
                .toList());
    }

    private static Factors padded(Factors factors, double gain, int rank) {
        int own = factors.rank();
        double[] left = new double[Math.multiplyExact(factors.out(), rank)];
        for (int row = 0; row < factors.out(); row++) {
            for (int k = 0; k < own; k++) {
                left[row * rank + k] = factors.left().values()[row * own + k] * gain;
            }
        }
        double[] right = Arrays.copyOf(factors.right().values(), Math.multiplyExact(rank, factors.in()));
        return new Factors(
                new DoubleTensor(Shape.of(factors.out(), rank), left),
                new DoubleTensor(Shape.of(rank, factors.in()), right));
    }

    /** Its hyperparameters: the most frequent rank and alpha for all, patterns for the layers that differ. */
    Lora method(double dropout) {
        int rank = (int) mostFrequent(LoraAdapter::rank);
        double alpha = mostFrequent(LoraAdapter::alpha);
        Map<String, Double> ranks = new LinkedHashMap<>();
        Map<String, Double> alphas = new LinkedHashMap<>();
        // PEFT takes the first pattern that a module's name ends with: longer names go first
        layers.stream()
                .sorted(Comparator.comparingInt(
                        layer -> -layer.target().module().length()))
                .forEach(layer -> {
                    if (rank(layer) != rank) {
                        ranks.put(layer.target().module(), (double) rank(layer));
                    }
                    if (alpha(layer) != alpha) {
                        alphas.put(layer.target().module(), alpha(layer));
                    }
                });
        return new Lora(rank, alpha, false, false, dropout, ranks, alphas);
    }

    private double mostFrequent(Function<AdapterLayers.Layer, Number> property) {
        return layers.stream()
                .collect(Collectors.groupingBy(
                        layer -> property.apply(layer).doubleValue(), LinkedHashMap::new, Collectors.counting()))
                .entrySet()
                .stream()
                .max(Map.Entry.comparingByValue())
                .orElseThrow()
                .getKey();
    }

    /** Writes its fields and tensors. */
    void into(AdapterOutput output, Path source, Dtype dtype) {
        ObjectNode config = output.config();
        Lora method = method(config.path("lora_dropout").asDouble(0));
        config.put("peft_type", method.peftType());
        method.describe(config);
        tensorsInto(output, source, dtype);
    }

    /** Writes its tensors. */
    void tensorsInto(AdapterOutput output, Path source, Dtype dtype) {
        Lora method = method(0);
        List<Target> targets = layers.stream().map(AdapterLayers.Layer::target).toList();
        for (AdapterLayers.Layer layer : layers) {
            List<Part> parts = method.parts(layer.target(), targets);
            output.put(
                    source,
                    BoundAdapter.key(parts.get(0), layer.target()),
                    layer.factors().right(),
                    dtype);
            output.put(
                    source,
                    BoundAdapter.key(parts.get(1), layer.target()),
                    layer.factors().left(),
                    dtype);
        }
    }

    /** A layer's factors as an adapter stores them. */
    static Factors stored(AdapterLayers.Layer layer, AdapterOutput output) {
        List<Part> parts = new LoraAdapter(List.of(layer)).method(0).parts(layer.target(), List.of(layer.target()));
        return new Factors(
                DoubleTensor.of(output.get(BoundAdapter.key(parts.get(1), layer.target()))),
                DoubleTensor.of(output.get(BoundAdapter.key(parts.get(0), layer.target()))));
    }

    /**
     * The shortest names that mean these modules and no others, by PEFT's rule: a name, or its end after a dot.
     *
     * @param all the modules that a name could mean
     */
    static List<String> targetNames(List<String> modules, List<String> all) {
        List<String> names = new ArrayList<>();
        for (String module : modules) {
            if (names.stream().anyMatch(name -> means(name, module))) {
                continue;
            }
            String name = module;
            for (int dot = module.lastIndexOf('.'); dot >= 0; dot = module.lastIndexOf('.', dot - 1)) {
                String end = module.substring(dot + 1);
                if (all.stream().filter(other -> means(end, other)).allMatch(modules::contains)) {
                    name = end;
                    break;
                }
            }
            names.add(name);
        }
        return names;
    }

    private static boolean means(String name, String module) {
        return module.equals(name) || module.endsWith("." + name);
    }
}
