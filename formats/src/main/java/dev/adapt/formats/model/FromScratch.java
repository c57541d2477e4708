package dev.adapt.formats.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.random.RandomGenerator;

/**
 * Models before any training. The weights of linear layers start Kaiming-uniform, as torch's linear layers do; all
 * else starts as in transformers: normalisations at 1, biases at 0, tables and heads normal.
 */
public final class FromScratch {
    /** The deviation of what is normal, where no config says it: a new head's too, as in transformers. */
    public static final double DEVIATION = 0.02;

    private FromScratch() {}

    /**
     * A plain model of random values.
     *
     * @throws dev.adapt.formats.FormatException if the architecture is not supported
     */
    public static PlainModel of(ModelConfig config, RandomGenerator random) {
        return PlainModel.of(config, tensors(config, List.of(), random));
    }

    /**
     * Random values of a model's tensors, by canonical name.
     *
     * @param without layers whose weights are made elsewhere
     * @param random where values are drawn from: first all but linear layers' weights, the same with these layers and without
     * @throws dev.adapt.formats.FormatException if the architecture is not supported
     */
    public static Map<String, FloatTensor> tensors(ModelConfig config, List<Target> without, RandomGenerator random) {
        Architecture architecture = Architectures.of(config);
        List<Target> linear = Binding.targets(config, architecture.linearModules());
        SequencedMap<String, Shape> shapes = tensors(config, architecture);
        shapes.forEach((name, shape) -> requireArray(config, name, shape));
        linear.forEach(layer -> shapes.remove(layer.canonical() + ".weight"));
        Map<String, FloatTensor> tensors = values(shapes, deviation(config), random);
        for (Target layer : linear) {
            if (!without.contains(layer)) {
                tensors.put(layer.canonical() + ".weight", kaiming(layer, random));
            }
        }
        return tensors;
    }

    private static void requireArray(ModelConfig config, String name, Shape shape) {
        if (shape.elements() > Integer.MAX_VALUE - 8) {
            throw new FormatException(
                    config.document().path(),
                    name,
                    "would have shape " + shape + ", more elements than a tensor that is trained can have; declare"
                            + " smaller sizes");
        }
    }

    /** All that the graph reads, and what it would read below transformers' head: BERT's pooler. */
    private static SequencedMap<String, Shape> tensors(ModelConfig config, Architecture architecture) {
        SequencedMap<String, Shape> shapes = new LinkedHashMap<>(architecture.requiredTensors());
        if (architecture.head().isEmpty()) {
            Architecture headed = Architectures.of(
                    config.withHead(new Head(architecture.ownPooling(), List.of("", "")), architecture));
            SequencedMap<String, Shape> whole = new LinkedHashMap<>(headed.requiredTensors());
            headed.head().ifPresent(head -> headed.headTensors(head).keySet().forEach(whole::remove));
            whole.forEach(shapes::putIfAbsent);
        }
        return shapes;
    }

    /** Random values of tensors that are in no stack, such as a head's. */
    public static Map<String, FloatTensor> values(Map<String, Shape> shapes, double deviation, RandomGenerator random) {
        Map<String, FloatTensor> values = new LinkedHashMap<>();
        shapes.forEach((name, shape) -> values.put(name, values(name, shape, deviation, random)));
        return values;
    }

    /** {@code initializer_range}, or what transformers has without it. */
    public static double deviation(ModelConfig config) {
        return config.document().number("initializer_range", DEVIATION);
    }

    private static FloatTensor values(String name, Shape shape, double deviation, RandomGenerator random) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        // a normalisation's scale is the only vector that is no bias
        boolean norm = shape.rank() == 1;
        for (int i = 0; i < values.length && !name.endsWith(".bias"); i++) {
            values[i] = norm ? 1 : (float) (deviation * random.nextGaussian());
        }
        return new FloatTensor(shape, values);
    }

    private static FloatTensor kaiming(Target layer, RandomGenerator random) {
        return new Initial.KaimingUniform(layer.in()).values(layer.storedShape(), random, () -> {
            throw new IllegalStateException(layer.module() + " starts from no weight");
        });
    }
}
