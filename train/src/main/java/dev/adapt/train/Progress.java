package dev.adapt.train;

import dev.adapt.train.data.Truncation;
import dev.adapt.train.metric.Scores;

/** What a training run tells while it goes on. Calls come from the thread that trains. */
public interface Progress {
    /** Nobody listens. */
    Progress SILENT = new Progress() {};

    /** The run begins. */
    default void started(Start start) {}

    /** Something was found in the data or the base that was not given. */
    default void found(String what) {}

    /** Something that a user should know. */
    default void noted(String what) {}

    /** A step is done. */
    default void stepped(Step step) {}

    /** The dev set was evaluated; epoch 0 is before training. */
    default void evaluated(int epoch, Scores scores, boolean best) {}

    /**
     * What the run is about to do.
     *
     * @param training the examples that are learned
     * @param dev the examples of the dev set
     */
    record Start(
            int steps,
            Truncation training,
            Truncation dev,
            long adapterParameters,
            long headParameters,
            String device) {}

    /**
     * A step, counted from 1.
     *
     * @param gradientNorm before clipping
     * @param examplesPerSecond of this epoch so far, evaluation not counted
     */
    record Step(
            int step,
            int steps,
            int epoch,
            double loss,
            double learningRate,
            double gradientNorm,
            double examplesPerSecond) {}
}
