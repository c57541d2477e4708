package dev.adapt.train;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.train.device.Devices;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.task.Task;
import dev.adapt.train.task.VectorTask;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * All that decides a training run.
 *
 * @param base checkpoint folder with config.json, and tokenizer.json where the data are texts; for a model that is trained
 *     whole, the folder it came from
 * @param learner an adapter, or a model that is trained whole; the targets are then its own
 * @param targets names of the modules to adapt, whole or their end after a dot; those usual for the architecture where
 *     there are none
 * @param eval what the run is evaluated on
 * @param pooling what feeds the head; the architecture's own where it is missing
 * @param learningRate peak rate of the adapter's tensors
 * @param headLearningRate peak rate of the head
 * @param warmUp share of all steps
 * @param clip largest global norm of the gradient
 * @param maxLength tokens of an example, special tokens included
 * @param recompute whether only the inputs of layers are kept for the backward pass, and the rest is computed again
 * @param batchSize examples that are in memory at a time
 * @param course how the run goes through its steps
 * @param metric by which the best epoch is chosen, the task's first where it is missing; ties go to the earlier
 */
public record TrainConfig(
        Path base,
        Learner learner,
        List<String> targets,
        Task task,
        Path data,
        DevData eval,
        Path out,
        Optional<Pooling> pooling,
        int epochs,
        int batchSize,
        double learningRate,
        double headLearningRate,
        double weightDecay,
        double warmUp,
        double clip,
        int maxLength,
        boolean recompute,
        Optional<Metric> metric,
        long seed,
        Devices device,
        Course course) {
    /** A run with a file of dev data that goes through its steps in the usual way. */
    public TrainConfig(
            Path base,
            Learner learner,
            List<String> targets,
            Task task,
            Path data,
            Path eval,
            Path out,
            Optional<Pooling> pooling,
            int epochs,
            int batchSize,
            double learningRate,
            double headLearningRate,
            double weightDecay,
            double warmUp,
            double clip,
            int maxLength,
            boolean recompute,
            Optional<Metric> metric,
            long seed,
            Devices device) {
        this(
                base,
                learner,
                targets,
                task,
                data,
                new DevData.Held(eval),
                out,
                pooling,
                epochs,
                batchSize,
                learningRate,
                headLearningRate,
                weightDecay,
                warmUp,
                clip,
                maxLength,
                recompute,
                metric,
                seed,
                device,
                Course.USUAL);
    }

    public TrainConfig {
        targets = List.copyOf(targets);
        require(epochs >= 1, "epochs", "at least 1", epochs);
        require(batchSize >= 1, "batch-size", "at least 1", batchSize);
        // such a loss compares the texts of a batch with each other, and gradients of parts do not add up to the
        // whole's
        require(
                course.accumulate() == 1 || !(task instanceof VectorTask),
                "accumulate",
                "1 for " + task.name() + ", whose loss compares all texts of a batch",
                course.accumulate());
        require(learningRate > 0 && Double.isFinite(learningRate), "lr", "a finite number above 0", learningRate);
        require(
                headLearningRate > 0 && Double.isFinite(headLearningRate),
                "head-lr",
                "a finite number above 0",
                headLearningRate);
        require(
                weightDecay >= 0 && Double.isFinite(weightDecay),
                "weight-decay",
                "a finite number of 0 or more",
                weightDecay);
        require(warmUp >= 0 && warmUp <= 1, "warmup", "a share of 0 to 1", warmUp);
        require(clip > 0 && Double.isFinite(clip), "clip", "a finite number above 0", clip);
        if (eval instanceof DevData.None && course.patience().isPresent()) {
            throw new UsageException("patience", "there are no dev data, by which it would be decided");
        }
        if (eval instanceof DevData.None && metric.isPresent()) {
            throw new UsageException("metric", "there are no dev data to measure on");
        }
        require(maxLength >= 3, "max-length", "at least 3", maxLength);
        if (metric.isPresent() && !task.metrics().contains(metric.get())) {
            throw new UsageException(
                    "metric " + metric.get().key(),
                    task.name() + " gives "
                            + task.metrics().stream().map(Metric::key).collect(Collectors.joining(", ")));
        }
    }

    /** The metric by which the best epoch is chosen. */
    Metric chosenBy() {
        return metric.orElse(task.metrics().getFirst());
    }

    private static void require(boolean holds, String setting, String expected, Number found) {
        if (!holds) {
            throw new UsageException(setting, "expected " + expected + ", found " + found);
        }
    }
}
