package dev.adapt.train;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.AdapterMethod;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.adapter.Lora;
import dev.adapt.formats.adapter.Target;
import dev.adapt.formats.adapter.Vera;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/**
 * A run before its first step: model with a fresh adapter and head, and tokenized data.
 */
record Setup(Model model, Encoded train, Encoded eval, int maxLength) {
    /** What transformers initialises a new head with. */
    private static final double HEAD_DEVIATION = 0.02;

    static Setup of(TrainConfig config, Checkpoint base) throws IOException {
        Architecture architecture = Architecture.of(base.requireConfig());
        Binding binding = new Binding(base);
        List<Target> targets = binding.targets(config.targets(), architecture);
        targets.forEach(target -> requireRank(config.method(), target));
        Dataset train = Dataset.read(config.data(), config.columns());
        Dataset eval = Dataset.read(config.eval(), train.columns());
        List<String> labels = train.labels();
        if (labels.size() < 2) {
            throw new UsageException("--data " + config.data()
                    + ": expected at least two different labels, found only \"" + labels.getFirst() + "\"");
        }
        Pooling pooling = config.pooling()
                .orElseGet(() ->
                        architecture.defaultPooling(name -> binding.find(name).isPresent()));
        if (pooling == Pooling.POOLER && binding.find("pooler.dense.weight").isEmpty()) {
            throw new UsageException("--pooling pooler: the base " + config.base() + " has no pooler; use mean or cls");
        }
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(config.seed());
        Head head = new Head(pooling, labels);
        BoundAdapter adapter = BoundAdapter.fresh(
                config.method(),
                targets,
                binding::weight,
                tensors(architecture.headTensors(head), random),
                Optional.of(head),
                binding.digests(targets),
                random);
        int maxLength =
                Math.min(config.maxLength(), architecture.tokens().orElseThrow().longest());
        return new Setup(
                Model.of(base, adapter),
                Encoded.of(train, labels, config.base(), maxLength),
                Encoded.of(eval, labels, config.base(), maxLength),
                maxLength);
    }

    /** A head's tensors as transformers begins them: biases 0, weights normal. */
    private static Map<String, FloatTensor> tensors(Map<String, Shape> shapes, RandomGenerator random) {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        shapes.forEach((name, shape) -> {
            float[] values = new float[Math.toIntExact(shape.elements())];
            for (int i = 0; i < values.length && !name.endsWith(".bias"); i++) {
                values[i] = (float) (HEAD_DEVIATION * random.nextGaussian());
            }
            tensors.put(name, new FloatTensor(shape, values));
        });
        return tensors;
    }

    private static void requireRank(AdapterMethod method, Target target) {
        int rank = method.rank(target);
        int most = switch (method) {
            case Lora lora -> Math.min(target.in(), target.out());
            // VeRA's projection is frozen: a rank over one side still buys it more trained scales
            case Vera vera -> Math.max(target.in(), target.out());
        };
        if (rank < 1 || rank > most) {
            throw new UsageException("--rank " + rank + ": expected 1 to " + most + " for " + target.tensor()
                    + ", which is [" + target.out() + ", " + target.in() + "]");
        }
    }
}
