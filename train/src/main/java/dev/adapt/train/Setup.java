package dev.adapt.train;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.model.FromScratch;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.model.WholeModel;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Selection;
import dev.adapt.train.data.Source;
import dev.adapt.train.task.Task;
import dev.adapt.train.task.VectorTask;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.Predicate;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/**
 * A run before its first step: model with a fresh adapter, and the head the task needs, and the task's data; or a model that
 * is trained whole.
 *
 * @param targets names of the modules that are adapted, as the user or the architecture gives them
 * @param head the tensors that learn at the head's rate
 * @param found what was found in the data and the base, and not given; a line each
 * @param columns where texts and labels were found, if the data have columns
 * @param output writes what was trained
 */
record Setup(
        Model model,
        Examples train,
        Optional<Examples> eval,
        List<String> targets,
        Set<String> head,
        List<String> found,
        Optional<Dataset.Columns> columns,
        Output output) {
    /** Where what was trained goes. */
    interface Output {
        /**
         * Writes a model's files into a folder.
         *
         * @param trained the trained tensors, by the names of the model's leaves
         * @return the file with its weights
         */
        Path write(Map<String, FloatTensor> trained, Path folder) throws IOException;
    }

    /**
     * A run that trains an adapter.
     *
     * @param values of the trained tensors, in the place of fresh ones; none of a new run
     */
    static Setup of(TrainConfig config, AdapterMethod method, Checkpoint base, Map<String, FloatTensor> values)
            throws IOException {
        ModelConfig model = config.task() instanceof VectorTask
                ? new ModelConfig(ChangedConfig.bare(base.requireConfig()))
                : ModelConfig.of(base);
        Architecture architecture = Architectures.of(model);
        Binding binding = new Binding(base);
        List<String> names = architecture.targets(config.targets());
        List<Target> targets = binding.targets(names, architecture);
        targets.forEach(target -> requireFit(method, target));
        binding.requireOneShape(method, targets);
        Source source = new Source(config.base(), model, architecture, config.maxLength());
        Task.Data data = config.task().read(config.data(), config.eval().file(), source);
        Parts parts = Parts.of(config, data);
        RandomGenerator random = random(config.seed());
        Pooling usual = architecture.defaultPooling(name -> binding.find(name).isPresent());
        Optional<Head> head = data.labels().map(labels -> {
            Pooling pooling = config.task().pooling().or(config::pooling).orElse(usual);
            requireRead(pooling, config, architecture);
            return new Head(pooling, labels);
        });
        BoundAdapter adapter = BoundAdapter.fresh(
                method,
                targets,
                binding::weight,
                head.map(own -> FromScratch.values(
                                fresh(
                                        own,
                                        architecture,
                                        name -> binding.find(name).isPresent()),
                                FromScratch.DEVIATION,
                                random))
                        .orElse(Map.of()),
                head,
                binding.digests(targets),
                random);
        BoundAdapter prompting =
                data.prompt().map(adapter::with).orElse(adapter).trained(values);
        Optional<SentenceModules> sentences = sentences(config, source);
        BoundAdapter recording = sentences.isPresent() ? prompting.withSentences(config.out()) : prompting;
        return new Setup(
                Model.of(base, recording),
                parts.train(),
                parts.eval(),
                names,
                adapter.saved().keySet(),
                found(data, head),
                data.columns(),
                (trained, folder) -> {
                    recording.trained(trained).write(folder, names, config.base());
                    write(sentences, architecture, folder);
                    return folder.resolve(Adapter.FILE);
                });
    }

    /** The examples that are learned, and those that a run is evaluated on. */
    private record Parts(Examples train, Optional<Examples> eval) {
        static Parts of(TrainConfig config, Task.Data data) {
            if (config.eval() instanceof DevData.Share(double share)) {
                if (data.train().size() < 2) {
                    throw new UsageException("eval " + config.eval(), "the training data are one example only");
                }
                Selection.Split split = Selection.split(data.train(), share, config.seed());
                return new Parts(split.training(), Optional.of(split.dev()));
            }
            return new Parts(data.train(), data.eval());
        }
    }

    private static List<String> found(Task.Data data, Optional<Head> head) {
        List<String> found = new ArrayList<>(data.found());
        head.ifPresent(
                own -> found.add("the head reads: " + own.pooling().name().toLowerCase(Locale.ROOT) + " (pooling)"));
        return found;
    }

    /** A run that trains all of a model: one rate serves all of its tensors. */
    static Setup whole(TrainConfig config, WholeModel start, Map<String, FloatTensor> values) throws IOException {
        Source source = new Source(config.base(), start.config(), start.model().architecture(), config.maxLength());
        Task.Data data = config.task().read(config.data(), config.eval().file(), source);
        Parts parts = Parts.of(config, data);
        WholeModel whole = data.labels()
                .map(labels -> withHead(config, start, labels))
                .orElse(start)
                .withoutUnread();
        WholeModel prompted = data.prompt().map(whole::withPrompt).orElse(whole);
        WholeModel recording = values.isEmpty() ? prompted : prompted.trained(values);
        return new Setup(
                recording.model(),
                parts.train(),
                parts.eval(),
                whole.targets(),
                Set.of(),
                found(data, recording.model().architecture().head()),
                data.columns(),
                (trained, folder) -> {
                    Path weights = recording.trained(trained).write(folder, config.base());
                    write(sentences(config, source), source.architecture(), folder);
                    return weights;
                });
    }

    /** How texts become vectors, for a task that trains those. */
    private static Optional<SentenceModules> sentences(TrainConfig config, Source source) {
        return config.task() instanceof VectorTask own
                ? Optional.of(own.vectors().modules().withLongest(source.longest()))
                : Optional.empty();
    }

    private static void write(Optional<SentenceModules> sentences, Architecture architecture, Path folder)
            throws IOException {
        if (sentences.isPresent()) {
            sentences.get().write(folder, architecture.hidden());
        }
    }

    /** The model with the task's labels: its own head, where it has one for the same. */
    private static WholeModel withHead(TrainConfig config, WholeModel start, List<String> labels) {
        Architecture architecture = start.model().architecture();
        Map<String, ?> tensors = start.others();
        Pooling pooling = config.task()
                .pooling()
                .or(config::pooling)
                .or(() -> architecture.head().map(Head::pooling))
                .orElseGet(() -> architecture.defaultPooling(tensors::containsKey));
        requireRead(pooling, config, architecture);
        Head head = new Head(pooling, labels);
        boolean kept = architecture.head().filter(head::equals).isPresent();
        return start.withHead(
                head,
                kept
                        ? start.headTensors()
                        : FromScratch.values(
                                fresh(head, architecture, tensors::containsKey),
                                FromScratch.deviation(start.config()),
                                random(config.seed())));
    }

    /** The tensors that a head needs and the base lacks: its own, and those of the pooler that it reads. */
    private static SequencedMap<String, Shape> fresh(Head head, Architecture architecture, Predicate<String> present) {
        SequencedMap<String, Shape> shapes = new LinkedHashMap<>(architecture.headTensors(head));
        if (head.pooling() == Pooling.POOLER) {
            architecture.poolerTensors().forEach((name, shape) -> {
                if (!present.test(name)) {
                    shapes.put(name, shape);
                }
            });
        }
        return shapes;
    }

    private static RandomGenerator random(long seed) {
        return RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    }

    /** Refuses a pooling that the base or the task cannot have. */
    private static void requireRead(Pooling pooling, TrainConfig config, Architecture architecture) {
        if (pooling == Pooling.POOLER && architecture.poolerModule().isEmpty()) {
            throw new UsageException(
                    "pooling pooler", "models like the base " + config.base() + " have no pooler; use mean or cls");
        }
        if (pooling == Pooling.TOKENS && config.task().pooling().isEmpty()) {
            throw new UsageException(
                    "pooling tokens",
                    "the task " + config.task().name() + " has one label for all tokens; use mean or cls");
        }
    }

    private static void requireFit(AdapterMethod method, Target target) {
        Optional<String> unstacked = target.isParameter() ? method.unlessStacked() : Optional.empty();
        unstacked.or(() -> method.misfit(target)).ifPresent(reason -> {
            throw new UsageException(method.title() + ": " + target.tensor() + " " + reason);
        });
    }
}
