package dev.adapt.train.detect;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.training.GradientCollector;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.device.Devices;
import dev.adapt.train.device.Torch;
import dev.adapt.train.djl.AdamW;
import dev.adapt.train.djl.FreshDecoder;
import dev.adapt.train.djl.LoadedModel;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.djl.Schedule;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;

/** Trains a decoder of object queries from scratch, by set prediction. */
public final class DetectorTrainer implements AutoCloseable {
    /**
     * How to train.
     *
     * @param steps 0 writes the decoder as training would begin with it
     * @param warmUp share of the steps over which the rate rises; it falls to 0 over the others
     * @param clip largest global norm of the gradient
     */
    public record Settings(
            int steps,
            int batchSize,
            double learningRate,
            double weightDecay,
            double warmUp,
            double clip,
            long seed,
            Devices device) {}

    /** Told of each step. */
    public interface Listener {
        /** A step, counted from 1, and its loss. */
        void stepped(int step, double loss);
    }

    private final QueryDecoder decoder;
    private final Settings settings;
    private final NDManager manager;
    private final SequencedMap<String, NDArray> weights = new LinkedHashMap<>();
    private final AdamW optimizer;
    private final Schedule schedule;
    private final int threadsBefore;

    private DetectorTrainer(QueryDecoder decoder, Settings settings) {
        this.decoder = decoder;
        this.settings = settings;
        this.manager = NDManager.newBaseManager(settings.device().resolve(), "PyTorch");
        this.threadsBefore = Torch.threads();
        // a small decoder's operations are too short to be shared: other threads would mostly spin
        Torch.setThreads(1);
        this.optimizer = new AdamW(settings.weightDecay());
        this.schedule = new Schedule((int) Math.ceil(settings.warmUp() * settings.steps()), settings.steps());
        FreshDecoder.tensors(decoder, settings.seed()).forEach((name, tensor) -> {
            NDArray array = LoadedModel.create(manager, tensor);
            array.setRequiresGradient(true);
            weights.put(name, array);
        });
    }

    /**
     * Trains a decoder and writes its checkpoint folder, which appears when it is whole.
     *
     * @param config of a decoder with heads
     * @param out must not exist, or be an empty folder
     * @throws dev.adapt.formats.FormatException if the config is not that of a decoder with heads
     * @throws UsageException if training diverges
     */
    public static void train(ModelConfig config, List<Scene> scenes, Settings settings, Path out, Listener listener)
            throws IOException {
        if (!(Architectures.of(config) instanceof QueryDecoder decoder)) {
            throw config.document().wrong("model_type", "\"" + QueryDecoder.TYPE + "\"");
        }
        if (decoder.classes().isEmpty()) {
            throw config.document().wrong("id2label", "the names of the classes to learn");
        }
        try (OutputFolder pending = Outputs.fresh().folder(out);
                DetectorTrainer trainer = new DetectorTrainer(decoder, settings)) {
            trainer.run(scenes, listener);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            trainer.weights.forEach((name, array) -> trained.put(name, LoadedModel.read(array)));
            SafetensorsWriter.write(pending.path().resolve(Checkpoint.SINGLE), trained, Map.of("format", "pt"));
            pending.text(ModelConfig.FILE, config.document().text());
            pending.commit();
        }
    }

    private void run(List<Scene> scenes, Listener listener) {
        Random random = new Random(settings.seed());
        for (int step = 0; step < settings.steps(); step++) {
            List<Scene> batch = random.ints(settings.batchSize(), 0, scenes.size())
                    .mapToObj(scenes::get)
                    .toList();
            double loss;
            try {
                loss = learn(batch);
            } catch (ArithmeticException e) {
                loss = Double.NaN;
            }
            if (!Double.isFinite(loss)) {
                throw new UsageException("the loss of step " + (step + 1) + " is " + loss
                        + ": training diverged; lower the learning rate (now " + settings.learningRate() + ")");
            }
            update(schedule.at(step) * settings.learningRate());
            listener.stepped(step + 1, loss);
        }
    }

    /**
     * The forward and the backward pass for a batch.
     *
     * @throws ArithmeticException if a prediction is not finite
     */
    private double learn(List<Scene> batch) {
        try (NDManager step = manager.newSubManager();
                GradientCollector collector = Torch.engine().newGradientCollector()) {
            NDArrayOps ops = new NDArrayOps(step, Optional.empty());
            Map<String, NDArray> inputs = new LinkedHashMap<>();
            for (Map.Entry<String, Tensor> input : Scene.inputs(batch).entrySet()) {
                inputs.put(input.getKey(), LoadedModel.create(step, input.getValue()));
            }
            Layers<NDArray> layers = new Layers<>(ops, this::leaf, weights::containsKey, Map.of(), 0, Optional.empty());
            NDArray predictions = decoder.forward(layers, inputs);
            List<Matching> pairs = Matching.of(LoadedModel.read(predictions), batch);
            NDArray loss = SetPrediction.loss(step, predictions, pairs);
            collector.backward(loss);
            return loss.getFloat();
        }
    }

    private void update(double rate) {
        try (NDManager step = manager.newSubManager()) {
            optimizer.step(weights, settings.clip(), name -> rate, step);
        }
    }

    private NDArray leaf(String name) {
        return Objects.requireNonNull(weights.get(name), name);
    }

    @Override
    public void close() {
        manager.close();
        Torch.setThreads(threadsBefore);
    }
}
