package dev.adapt.train;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.AdapterMethod;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.adapter.CondLora;
import dev.adapt.formats.adapter.Lora;
import dev.adapt.formats.adapter.Target;
import dev.adapt.formats.adapter.Vera;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
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
 * A run before its first step: model with a fresh adapter, and the head the task needs, and the task's data.
 *
 * @param targets names of the modules that are adapted, as the user or the architecture gives them
 */
record Setup(Model model, Examples train, Examples eval, List<String> targets) {
    /** What transformers initialises a new head with. */
    private static final double HEAD_DEVIATION = 0.02;

    static Setup of(TrainConfig config, Checkpoint base) throws IOException {
        ModelConfig model = base.requireConfig();
        Architecture architecture = Architecture.of(model);
        Binding binding = new Binding(base);
        List<String> names = config.targets().isEmpty() ? architecture.usualTargets() : config.targets();
        List<Target> targets = binding.targets(names, architecture);
        targets.forEach(target -> requireRank(config.method(), target));
        binding.requireOneShape(config.method(), targets);
        Source source = new Source(config.base(), model, architecture, config.maxLength());
        Task.Data data = config.task().read(config.data(), config.eval(), source);
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(config.seed());
        Optional<Head> head = data.labels().map(labels -> new Head(pooling(config, architecture, binding), labels));
        BoundAdapter adapter = BoundAdapter.fresh(
                config.method(),
                targets,
                binding::weight,
                head.map(own -> tensors(architecture.headTensors(own), random)).orElse(Map.of()),
                head,
                binding.digests(targets),
                random);
        return new Setup(Model.of(base, adapter), data.train(), data.eval(), names);
    }

    private static Pooling pooling(TrainConfig config, Architecture architecture, Binding binding) {
        Pooling pooling = config.pooling()
                .orElseGet(() ->
                        architecture.defaultPooling(name -> binding.find(name).isPresent()));
        if (pooling == Pooling.POOLER && binding.find("pooler.dense.weight").isEmpty()) {
            throw new UsageException("--pooling pooler: the base " + config.base() + " has no pooler; use mean or cls");
        }
        return pooling;
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
            case CondLora shared -> Math.min(target.in(), target.out());
        };
        if (rank < 1 || rank > most) {
            throw new UsageException("--rank " + rank + ": expected 1 to " + most + " for " + target.tensor()
                    + ", which is [" + target.out() + ", " + target.in() + "]");
        }
    }
}
