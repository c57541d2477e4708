package dev.adapt.cli;

import dev.adapt.verify.Report;
import java.util.List;

/**
 * What the demo saw of one method.
 *
 * @param name for people: method and rank
 * @param style the CSS class of its curves
 * @param losses the training loss of each step
 * @param accuracies on the dev set: before training, then after each epoch
 * @param best the epoch kept, counted from 1
 * @param mergeSeconds the time of the merge alone
 */
record DemoResult(
        String name,
        String style,
        long trainedParameters,
        long headParameters,
        long adapterBytes,
        List<Double> losses,
        List<Double> accuracies,
        int best,
        double examplesPerSecond,
        double trainSeconds,
        double mergeSeconds,
        Report report) {
    DemoResult {
        losses = List.copyOf(losses);
        accuracies = List.copyOf(accuracies);
    }

    double before() {
        return accuracies.getFirst();
    }

    double after() {
        return accuracies.get(best);
    }
}
