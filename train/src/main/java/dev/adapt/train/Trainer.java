package dev.adapt.train;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDManager;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.model.WholeModel;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Truncation;
import dev.adapt.train.device.Devices;
import dev.adapt.train.device.Torch;
import dev.adapt.train.djl.AdamW;
import dev.adapt.train.djl.LoadedModel;
import dev.adapt.train.djl.Schedule;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Scores;
import dev.adapt.train.task.Task;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.function.BooleanSupplier;

/** One training run, from a base and two data files to an adapter folder. */
public final class Trainer implements AutoCloseable {
    /** The file beside the adapter or model that says how training went. */
    public static final String SUMMARY = "summary.json";

    private static final int EVAL_BATCH = 64;

    /** Tokens of a batch that is evaluated: beyond, a batch takes more memory and is not faster. */
    private static final int EVAL_TOKENS = 1024;

    /**
     * How a run ended.
     *
     * @param patienceOver the epoch after which scores had not become better for too long; 0 if that did not happen
     */
    private record End(boolean stopped, Optional<TrainResult.Divergence> diverged, int patienceOver) {
        private static final End STOPPED = new End(true, Optional.empty(), 0);
        private static final End FINISHED = new End(false, Optional.empty(), 0);
    }

    private final TrainConfig config;
    private final Setup setup;
    private final Progress progress;
    private final BooleanSupplier stop;
    private final Outputs outputs;
    private final Replicas replicas;
    private final AdamW optimizer;
    private final TrainingLog log = new TrainingLog();
    private final boolean checkpointReplaced;
    private final List<Scores> scores = new ArrayList<>();
    private final List<Double> losses = new ArrayList<>();
    private Map<String, FloatTensor> kept = Map.of();
    private int best;
    private int done;
    private double trainSeconds;
    private long trainedExamples;

    private Trainer(TrainConfig config, Setup setup, Outputs outputs, Progress progress, BooleanSupplier stop) {
        this.config = config;
        this.setup = setup;
        this.progress = progress;
        this.stop = stop;
        this.outputs = outputs;
        this.checkpointReplaced = config.course().resume().isPresent();
        this.replicas = new Replicas(
                setup.model(), config.device().resolve(), config.batchSize(), config.seed(), config.recompute());
        this.optimizer = new AdamW(config.weightDecay());
    }

    /**
     * Trains an adapter and writes its folder: {@code adapter_config.json}, {@code adapter_model.safetensors},
     * {@code training.jsonl} and {@code summary.json}. The folder appears when it is whole. Of a model that is trained whole
     * it holds the model's files in the place of the first two.
     *
     * <p>A run that diverges after its first epoch keeps the best epoch so far, and the result says where it diverged.
     *
     * @param stop asked before each step; once it says yes, the best epoch so far is written
     * @return empty if it was stopped before its first step: then nothing was learned, and nothing is written
     * @throws FormatException if the base or a data file is not as it must be
     * @throws UsageException if an option cannot be, the device runs out of memory, or training diverges in its first epoch
     * @throws IOException if a file cannot be read or written
     */
    public static Optional<TrainResult> train(TrainConfig config, Progress progress, BooleanSupplier stop)
            throws IOException {
        return train(config, progress, stop, Outputs.fresh(), Documents.NONE);
    }

    /** The same, as one of a command's outputs, with texts of its own in the folder. */
    public static Optional<TrainResult> train(
            TrainConfig config, Progress progress, BooleanSupplier stop, Outputs outputs, Documents documents)
            throws IOException {
        Optional<TrainingState> state = Optional.empty();
        if (config.course().resume().isPresent()) {
            state = Optional.of(TrainingState.read(config.course().resume().get()));
        }
        Path checkpoint = Course.checkpointOf(config.out());
        if (config.course().checkpointEvery().isPresent() && state.isEmpty()) {
            outputs.requireFolder(checkpoint, checkpointFiles());
        }
        Map<String, FloatTensor> values = state.map(TrainingState::trained).orElse(Map.of());
        try (OutputFolder out = outputs.folder(config.out(), files())) {
            return switch (config.learner()) {
                case Learner.Whole(WholeModel model) ->
                    new Run(config, Setup.whole(config, model, values), state, outputs, documents)
                            .train(out, progress, stop);
                case Learner.Adapter(AdapterMethod method) -> {
                    try (Checkpoint base = Checkpoint.open(config.base())) {
                        outputs.madeFrom(base.snapshots());
                        yield new Run(config, Setup.of(config, method, base, values), state, outputs, documents)
                                .train(out, progress, stop);
                    }
                }
            };
        }
    }

    /** What a checkpoint holds: what training writes so far, and its state. */
    private static Set<String> checkpointFiles() {
        Set<String> files = files();
        files.addAll(TrainingState.FILES);
        return files;
    }

    /** All that training writes, whatever it trains. */
    private static Set<String> files() {
        Set<String> files = new HashSet<>(WholeModel.files());
        files.addAll(SentenceModules.names());
        files.addAll(List.of(
                Adapter.FILE, AdapterConfig.FILE, TrainingLog.STEPS, TrainingLog.SUMMARY, TensorBoardEvents.FILE));
        files.addAll(Documents.NAMES);
        return files;
    }

    /** A run that is set up. */
    private record Run(
            TrainConfig config, Setup setup, Optional<TrainingState> state, Outputs outputs, Documents documents) {
        Optional<TrainResult> train(OutputFolder out, Progress progress, BooleanSupplier stop) throws IOException {
            Torch.engine().setRandomSeed((int) config.seed());
            try (Trainer trainer = new Trainer(config, setup, outputs, progress, stop)) {
                if (state.isPresent()) {
                    trainer.resume(state.get());
                }
                End end = trainer.run();
                if (trainer.losses.isEmpty()) {
                    return Optional.empty();
                }
                TrainResult result = trainer.write(out, end);
                Optional<Head> head = setup.model().architecture().head();
                Documents.Run run = new Documents.Run(result, setup.targets(), setup.found(), setup.columns(), head);
                for (Map.Entry<String, String> document : documents.of(run).entrySet()) {
                    out.text(document.getKey(), document.getValue());
                }
                out.commit();
                return Optional.of(result);
            } catch (EngineException e) {
                throw explained(e, config);
            }
        }
    }

    /** Goes on from a checkpoint; the model has its values already. */
    private void resume(TrainingState state) {
        Path folder = config.course().resume().orElseThrow();
        state.requireSame(folder, log.settings(config, setup));
        Map<String, List<Long>> shapes = new LinkedHashMap<>();
        replicas.trained()
                .forEach((name, array) -> shapes.put(
                        name, Arrays.stream(array.getShape().getShape()).boxed().toList()));
        state.requireFit(folder, shapes);
        optimizer.resume(state.step(), replicas.trained(), state.first(), state.second());
        if (state.draws().size() != replicas.draws().size()) {
            progress.noted("the run was begun on a machine with another number of cores: with dropout, it goes on with"
                    + " other random numbers");
        }
        replicas.resume(state.draws());
        log.resume(state.lines());
        losses.addAll(state.losses());
        scores.addAll(state.scores());
        kept = state.kept();
        best = state.best();
        done = state.step();
    }

    private void checkpoint() throws IOException {
        Outputs own = done > config.course().checkpointEvery().orElseThrow() || checkpointReplaced
                ? Outputs.replacing()
                : outputs;
        try (OutputFolder folder = own.folder(Course.checkpointOf(config.out()), checkpointFiles())) {
            setup.output().write(values(), folder.path());
            new TrainingState(
                            log.settings(config, setup),
                            done,
                            best,
                            replicas.draws(),
                            losses,
                            scores,
                            log.lines(),
                            values(),
                            optimizer.moments(false),
                            optimizer.moments(true),
                            kept)
                    .write(folder);
            folder.commit();
        }
    }

    private static RuntimeException explained(EngineException e, TrainConfig config) {
        String message = String.valueOf(e.getMessage());
        if (message.contains("out of memory") || message.contains("not enough memory")) {
            return new UsageException("out of memory on the device with batches of " + config.batchSize()
                    + " examples of up to " + config.maxLength() + " tokens: lower --batch-size or --max-length");
        }
        return e;
    }

    private End run() throws IOException {
        int perStep = config.batchSize() * config.course().accumulate();
        int perEpoch = Math.ceilDiv(setup.train().size(), perStep);
        int total = perEpoch * config.epochs();
        Schedule schedule = new Schedule(
                (int) Math.ceil(config.warmUp() * total), total, config.course().decay());
        setup.found().forEach(progress::found);
        if (config.eval() instanceof DevData.Held(Path dev) && isSame(config.data(), dev)) {
            progress.noted("the dev data are the training data: scores tell nothing of other data");
        }
        progress.started(new Progress.Start(
                total,
                setup.train().truncation(),
                setup.eval().map(Examples::truncation).orElse(Truncation.none(0)),
                parameters(false),
                parameters(true),
                Devices.name(replicas.device())));
        if (stop.getAsBoolean()) {
            return End.STOPPED;
        }
        if (done == 0) {
            evaluate(0);
        } else {
            progress.noted("goes on after step " + done + " of " + total);
        }
        int step = done;
        for (int epoch = Math.max(1, Math.ceilDiv(done, perEpoch)); epoch <= config.epochs(); epoch++) {
            Random random = new Random(config.seed() * 1_000_003 + epoch);
            List<List<Integer>> batches = setup.train().shuffled(perStep, random);
            for (List<Integer> indices : batches.subList(step - (epoch - 1) * perEpoch, perEpoch)) {
                if (stop.getAsBoolean()) {
                    return End.STOPPED;
                }
                Optional<TrainResult.Divergence> diverged = step(indices, ++step, epoch, schedule);
                if (diverged.isPresent()) {
                    return kept(diverged.get());
                }
                done = step;
                if (config.course().checkpointEvery().isPresent()
                        && step % config.course().checkpointEvery().getAsInt() == 0) {
                    checkpoint();
                }
            }
            double loss = evaluate(epoch);
            if (!Double.isFinite(loss)) {
                return kept(new TrainResult.Divergence(step, "the dev set's loss after the update", loss));
            }
            if (epoch < config.epochs()
                    && epoch - best >= config.course().patience().orElse(Integer.MAX_VALUE)) {
                return new End(false, Optional.empty(), epoch);
            }
        }
        return End.FINISHED;
    }

    private static boolean isSame(Path left, Path right) throws IOException {
        boolean files = Files.isRegularFile(left) && Files.isRegularFile(right);
        return files ? Files.mismatch(left, right) < 0 : Files.isSameFile(left, right);
    }

    /** The end of a run that diverged, if there is an epoch to keep. */
    private End kept(TrainResult.Divergence diverged) {
        if (best == 0) {
            throw new UsageException(diverged.text() + ", before an epoch was finished; lower --lr (now "
                    + config.learningRate() + ") or --head-lr (now " + config.headLearningRate() + ")");
        }
        return new End(false, Optional.of(diverged), 0);
    }

    /** How many parameters are trained: the head's, or all others. */
    private long parameters(boolean ofHead) {
        return setup.model().trainable().stream()
                .filter(name -> setup.head().contains(name) == ofHead)
                .mapToLong(name -> setup.model().leaf(name).shape().elements())
                .sum();
    }

    private Optional<TrainResult.Divergence> step(List<Integer> indices, int number, int epoch, Schedule schedule) {
        long start = System.nanoTime();
        double share = schedule.at(number - 1);
        double loss = replicas.learn(config.task(), setup.train(), indices, config.batchSize());
        if (!Double.isFinite(loss)) {
            return Optional.of(new TrainResult.Divergence(number, "the loss", loss));
        }
        double norm = update(share);
        trainSeconds += (System.nanoTime() - start) / 1e9;
        trainedExamples += indices.size();
        losses.add(loss);
        Progress.Step done = new Progress.Step(
                number,
                schedule.total(),
                epoch,
                loss,
                share * config.learningRate(),
                norm,
                trainedExamples / trainSeconds);
        log.stepped(done);
        progress.stepped(done);
        return Double.isFinite(norm)
                ? Optional.empty()
                : Optional.of(new TrainResult.Divergence(number, "the gradient's norm", norm));
    }

    /** One optimizer step; returns the gradient's global norm. */
    private double update(double share) {
        try (NDManager step = replicas.newStep()) {
            return optimizer.step(
                    replicas.trained(),
                    config.clip(),
                    name -> share * (setup.head().contains(name) ? config.headLearningRate() : config.learningRate()),
                    step);
        }
    }

    /**
     * Evaluates the dev set; an epoch whose loss is not finite is neither kept nor scored.
     *
     * @return the loss
     */
    private double evaluate(int epoch) {
        if (setup.eval().isEmpty()) {
            best = epoch;
            kept = values();
            return 0;
        }
        Task.Tally tally = config.task().tally(labels());
        double loss = replicas.evaluate(config.task(), setup.eval().get(), EVAL_BATCH, EVAL_TOKENS, tally);
        if (!Double.isFinite(loss)) {
            if (epoch == 0) {
                throw new FormatException(
                        config.base(),
                        "gives the loss " + loss + " on " + config.eval()
                                + " before training; its weights, or the data,"
                                + " hold values that are not finite or far too large");
            }
            return loss;
        }
        Scores own = new Scores(loss, tally.values(loss));
        Metric metric = config.chosenBy();
        boolean better = epoch == 1
                || (epoch > 0 && metric.better(own.of(metric), scores.get(best).of(metric)));
        if (better) {
            best = epoch;
            kept = values();
        }
        scores.add(own);
        log.evaluated(epoch, own);
        progress.evaluated(epoch, own, better);
        if (epoch > 0) {
            tally.warning().ifPresent(progress::noted);
        }
        return loss;
    }

    private List<String> labels() {
        return setup.model().architecture().head().map(Head::labels).orElse(List.of());
    }

    private Map<String, FloatTensor> values() {
        Map<String, FloatTensor> values = new LinkedHashMap<>();
        replicas.trained().forEach((name, array) -> values.put(name, LoadedModel.read(array)));
        return values;
    }

    private TrainResult write(OutputFolder out, End end) throws IOException {
        Path weights = setup.output().write(best == 0 ? values() : kept, out.path());
        TrainResult result = new TrainResult(
                config.out(),
                scores,
                config.chosenBy(),
                losses,
                best,
                end.stopped(),
                end.diverged(),
                setup.model().config().ownPooling(),
                end.patienceOver(),
                parameters(false),
                parameters(true),
                Files.size(weights),
                trainedExamples / Math.max(trainSeconds, 1e-9),
                trainSeconds,
                Devices.name(replicas.device()));
        log.write(out, config, setup, result);
        return result;
    }

    @Override
    public void close() {
        replicas.close();
    }
}
