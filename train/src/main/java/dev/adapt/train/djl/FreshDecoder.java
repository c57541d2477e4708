package dev.adapt.train.djl;

import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/** A decoder of object queries before training. */
public final class FreshDecoder {
    /** The share of queries that a class is expected of at first (Lin et al., arXiv 1708.02002, section 4.1). */
    private static final double PRIOR = 0.01;

    private FreshDecoder() {}

    /**
     * Its tensors by name. Each is drawn from the seed and its own name, so that decoders which differ elsewhere begin alike
     * where they do not.
     */
    public static Map<String, FloatTensor> tensors(QueryDecoder decoder, long seed) {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        decoder.requiredTensors().forEach((name, shape) -> tensors.put(name, tensor(name, shape, seed)));
        return tensors;
    }

    private static FloatTensor tensor(String name, Shape shape, long seed) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        if (name.equals(QueryDecoder.CLASS_HEAD + ".bias")) {
            Arrays.fill(values, (float) -Math.log((1 - PRIOR) / PRIOR));
        } else if (isNorm(name, shape)) {
            Arrays.fill(values, 1);
        } else if (shape.rank() > 1 && !QueryDecoder.startsAtZero(name)) {
            RandomGenerator random =
                    RandomGeneratorFactory.of("L64X128MixRandom").create(seed * 1_000_003 + name.hashCode());
            return new Initial.KaimingUniform(Math.toIntExact(shape.dim(shape.rank() - 1)))
                    .values(shape, random, () -> {
                        throw new IllegalStateException(name + " starts from no weight");
                    });
        }
        return new FloatTensor(shape, values);
    }

    private static boolean isNorm(String name, Shape shape) {
        return shape.rank() == 1 && name.endsWith(".weight");
    }
}
