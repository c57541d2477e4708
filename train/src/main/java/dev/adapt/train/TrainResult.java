package dev.adapt.train;

import dev.adapt.formats.graph.Pooling;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Scores;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What a training run came to.
 *
 * @param scores of the dev set: before training, then after each finished epoch; none without dev data
 * @param chosenBy the metric by which the best epoch was chosen
 * @param best the epoch that was kept; 0 if none was finished
 * @param stopped whether it was stopped before its end
 * @param diverged where and how it diverged, if it did: an epoch finished before was kept
 * @param ownPooling what the head reads, where no class of transformers has such a head
 * @param patienceOver the epoch after which it ended early, since the scores had not become better; 0 if it did not
 * @param examplesPerSecond over all training steps, evaluation not counted
 */
public record TrainResult(
        Path out,
        List<Scores> scores,
        Metric chosenBy,
        List<Double> losses,
        int best,
        boolean stopped,
        Optional<Divergence> diverged,
        Optional<Pooling> ownPooling,
        int patienceOver,
        long adapterParameters,
        long headParameters,
        long adapterBytes,
        double examplesPerSecond,
        double seconds,
        String device) {
    public TrainResult {
        scores = List.copyOf(scores);
        losses = List.copyOf(losses);
    }

    /**
     * A value that is not finite ended the run.
     *
     * @param step counted from 1
     * @param what the value: the loss, the gradient's norm, or the dev set's loss after this step
     */
    public record Divergence(int step, String what, double value) {
        /** For people, without what to do about it. */
        public String text() {
            return "training diverged: " + what + " of step " + step + " is " + value;
        }
    }

    /**
     * The scores of the adapter that was kept.
     *
     * @throws IndexOutOfBoundsException if there are no scores
     */
    public Scores kept() {
        return scores.get(best);
    }
}
