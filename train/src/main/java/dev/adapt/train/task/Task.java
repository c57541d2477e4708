package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Metric;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/** What a model is trained to do: how its data are read, which head it needs, what is minimised and what is measured. */
public sealed interface Task
        permits Classification, TokenClassification, Regression, CausalLm, ImageClassification, VectorTask {
    /** What options and files call it. */
    String name();

    /** What is measured on the dev set; the best epoch is chosen by the first where the user does not choose. */
    List<Metric> metrics();

    /**
     * The task's data.
     *
     * @param labels of the head that the task needs, by index; one for a head that gives a number; empty where the base's
     *     own output is trained
     * @param prompt how prompts are laid out, where the base continues texts
     */
    record Data(Examples train, Examples eval, Optional<List<String>> labels, Optional<PromptFormat> prompt) {
        /** Data of a task with a head. */
        Data(Examples train, Examples eval, List<String> labels) {
            this(train, eval, Optional.of(labels), Optional.empty());
        }
    }

    /**
     * Reads the data.
     *
     * @throws dev.adapt.formats.FormatException if a file is not as it must be
     * @throws dev.adapt.formats.UsageException if the base cannot learn this
     */
    Data read(Path train, Path eval, Source source) throws IOException;

    /** What the task's head reads, where that is no choice. */
    default Optional<Pooling> pooling() {
        return Optional.empty();
    }

    /**
     * What training minimises: a mean over the goals of a batch.
     *
     * @param gradients told each part of it as it is computed
     */
    double loss(NDArrayOps ops, Unfinished<NDArray> output, Batch batch, Gradients gradients);

    /** Adds up what a model gives for a dev set. */
    interface Tally {
        /** Takes the output for a batch. */
        void add(Unfinished<NDArray> output, Batch batch);

        /**
         * The metrics of all that was added.
         *
         * @param loss its mean loss
         */
        SequencedMap<Metric, Double> values(double loss);
    }

    /**
     * A tally of nothing yet.
     *
     * @param labels of the model's head by index; none where it has no head
     */
    Tally tally(List<String> labels);
}
