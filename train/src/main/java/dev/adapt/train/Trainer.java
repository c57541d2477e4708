package dev.adapt.train;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDManager;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.AdapterConfig;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.model.WholeModel;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.BooleanSupplier;

/** One training run, from a base and two data files to an adapter folder. */
public final class Trainer implements AutoCloseable {
    private static final int EVAL_BATCH = 64;

    private final TrainConfig config;
    private final Setup setup;
    private final Progress progress;
    private final BooleanSupplier stop;
    private final Replicas replicas;
    private final AdamW optimizer;
    private final TrainingLog log = new TrainingLog();
    private final List<Scores> scores = new ArrayList<>();
    private final List<Double> losses = new ArrayList<>();
    private Map<String, FloatTensor> kept = Map.of();
    private int best;
    private double trainSeconds;
    private long trainedExamples;

    private Trainer(TrainConfig config, Setup setup, Progress progress, BooleanSupplier stop) {
        this.config = config;
        this.setup = setup;
        this.progress = progress;
        this.stop = stop;
        this.replicas = new Replicas(setup.model(), config.device().resolve(), config.batchSize(), config.seed());
        this.optimizer = new AdamW(config.weightDecay());
    }

    /**
     * Trains an adapter and writes its folder: {@code adapter_config.json}, {@code adapter_model.safetensors},
     * {@code training.jsonl} and {@code summary.json}. The folder appears when it is whole. Of a model that is trained whole
     * it holds the model's files in the place of the first two.
     *
     * @param stop asked before each step; once it says yes, the best epoch so far is written
     * @throws FormatException if the base or a data file is not as it must be
     * @throws UsageException if an option cannot be, or the device runs out of memory
     * @throws IOException if a file cannot be read or written
     */
    public static TrainResult train(TrainConfig config, Progress progress, BooleanSupplier stop) throws IOException {
        return train(config, progress, stop, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public static TrainResult train(TrainConfig config, Progress progress, BooleanSupplier stop, Outputs outputs)
            throws IOException {
        try (OutputFolder out = outputs.folder(config.out(), files())) {
            if (config.whole().isPresent()) {
                return train(config, Setup.whole(config, config.whole().get()), out, progress, stop);
            }
            try (Checkpoint base = Checkpoint.open(config.base())) {
                outputs.madeFrom(base.snapshots());
                return train(config, Setup.of(config, base), out, progress, stop);
            }
        }
    }

    /** All that training writes, whatever it trains. */
    private static Set<String> files() {
        Set<String> files = new HashSet<>(WholeModel.files());
        files.addAll(List.of(Adapter.FILE, AdapterConfig.FILE, TrainingLog.STEPS, TrainingLog.SUMMARY));
        return files;
    }

    private static TrainResult train(
            TrainConfig config, Setup setup, OutputFolder out, Progress progress, BooleanSupplier stop)
            throws IOException {
        Torch.engine().setRandomSeed((int) config.seed());
        try (Trainer trainer = new Trainer(config, setup, progress, stop)) {
            boolean stopped = trainer.run();
            TrainResult result = trainer.write(out, stopped);
            out.commit();
            return result;
        } catch (EngineException e) {
            throw explained(e, config);
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

    private boolean run() {
        int perEpoch = Math.ceilDiv(setup.train().size(), config.batchSize());
        int total = perEpoch * config.epochs();
        Schedule schedule = new Schedule((int) Math.ceil(config.warmUp() * total), total);
        progress.started(new Progress.Start(
                total,
                setup.train().size(),
                setup.eval().size(),
                parameters(false),
                parameters(true),
                replicas.device().toString()));
        evaluate(0);
        int step = 0;
        for (int epoch = 1; epoch <= config.epochs(); epoch++) {
            Random random = new Random(config.seed() * 1_000_003 + epoch);
            for (List<Integer> indices : setup.train().shuffled(config.batchSize(), random)) {
                if (stop.getAsBoolean()) {
                    return true;
                }
                step(indices, ++step, epoch, schedule);
            }
            evaluate(epoch);
        }
        return false;
    }

    /** How many parameters are trained: the head's, or all others. */
    private long parameters(boolean ofHead) {
        return setup.model().trainable().stream()
                .filter(name -> setup.head().contains(name) == ofHead)
                .mapToLong(name -> setup.model().leaf(name).shape().elements())
                .sum();
    }

    private void step(List<Integer> indices, int number, int epoch, Schedule schedule) {
        long start = System.nanoTime();
        double share = schedule.at(number - 1);
        double loss = replicas.learn(config.task(), setup.train(), indices);
        requireFinite(loss, number);
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
    }

    private void requireFinite(double loss, int number) {
        if (!Double.isFinite(loss)) {
            throw new UsageException(
                    "the loss of step " + number + " is " + loss + ": training diverged; lower --lr (now "
                            + config.learningRate() + ") or --head-lr (now " + config.headLearningRate() + ")");
        }
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

    private void evaluate(int epoch) {
        Task.Tally tally = config.task().tally();
        double loss = replicas.evaluate(config.task(), setup.eval(), EVAL_BATCH, tally);
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
    }

    private Map<String, FloatTensor> values() {
        Map<String, FloatTensor> values = new LinkedHashMap<>();
        replicas.trained().forEach((name, array) -> values.put(name, LoadedModel.read(array)));
        return values;
    }

    private TrainResult write(OutputFolder out, boolean stopped) throws IOException {
        BoundAdapter adapter = setup.model().trained(best == 0 ? values() : kept);
        Path weights = setup.output().write(adapter, out.path());
        TrainResult result = new TrainResult(
                config.out(),
                scores,
                config.chosenBy(),
                losses,
                best,
                stopped,
                parameters(false),
                parameters(true),
                Files.size(weights),
                trainedExamples / Math.max(trainSeconds, 1e-9),
                trainSeconds,
                replicas.device().toString());
        log.write(out.path(), config, setup.targets(), result);
        return result;
    }

    @Override
    public void close() {
        replicas.close();
    }
}
