package dev.adapt.train;

import java.nio.file.Path;
import java.util.List;

/**
 * What a training run came to.
 *
 * @param scores of the dev set: before training, then after each finished epoch
 * @param chosenBy the metric by which the best epoch was chosen
 * @param best the epoch that was kept; 0 if none was finished
 * @param stopped whether it was stopped before its end
 * @param examplesPerSecond over all training steps, evaluation not counted
 */
public record TrainResult(
        Path out,
        List<Scores> scores,
        Metric chosenBy,
        List<Double> losses,
        int best,
        boolean stopped,
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

    /** The scores of the adapter that was kept. */
    public Scores kept() {
        return scores.get(best);
    }
}
