package dev.adapt.cli.demo;

import dev.adapt.verify.compare.Report;
import java.util.List;

/**
 * What the demo saw of one method.
 *
 * @param name for people: method and rank
 * @param style the CSS class of its curves
 * @param learningRate peak rate of the adapter
 * @param headLearningRate peak rate of the head
 * @param losses the training loss of each step
 * @param devLosses on the dev set: before training, then after each epoch
 * @param accuracies on the dev set, likewise
 * @param best the epoch kept, counted from 1
 * @param mergeSeconds the time of the merge alone
 */
record DemoResult(
        String name,
        String style,
        double learningRate,
        double headLearningRate,
        long trainedParameters,
        long headParameters,
        long adapterBytes,
        List<Double> losses,
        List<Double> devLosses,
        List<Double> accuracies,
        int best,
        double examplesPerSecond,
        double trainSeconds,
        double mergeSeconds,
        Report report) {
    DemoResult {
        losses = List.copyOf(losses);
        devLosses = List.copyOf(devLosses);
        accuracies = List.copyOf(accuracies);
    }

    int epochs() {
        return accuracies.size() - 1;
    }

    double before() {
        return accuracies.getFirst();
    }

    double after() {
        return accuracies.get(best);
    }
}
