package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Shown;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Metric;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.Collectors;

/** What a model is trained to do: how its data are read, which head it needs, what is minimised and what is measured. */
public sealed interface Task
        permits Classification, TokenClassification, Regression, CausalLm, ImageClassification, VectorTask {
    /** Labels that are listed for people. */
    int SHOWN = 12;

    /** What options and files call it. */
    String name();

    /** What is measured on the dev set; the best epoch is chosen by the first where the user does not choose. */
    List<Metric> metrics();

    /**
     * The task's data.
     *
     * @param eval the dev set, where it has a file of its own
     * @param labels of the head that the task needs, by index; one for a head that gives a number; empty where the base's
     *     own output is trained
     * @param prompt how prompts are laid out, where the base continues texts
     * @param columns where texts and labels were found, if the data have columns
     * @param found what was found in the training data and not given: columns, labels; a line each
     */
    record Data(
            Examples train,
            Optional<Examples> eval,
            Optional<List<String>> labels,
            Optional<PromptFormat> prompt,
            List<String> found,
            Optional<Dataset.Columns> columns) {
        /** Data of a task with a head. */
        Data(Examples train, Optional<? extends Examples> eval, List<String> labels, List<String> found) {
            this(train, eval.map(own -> own), Optional.of(labels), Optional.empty(), found, Optional.empty());
        }

        /** The same, with columns. */
        Data in(Dataset.Columns own) {
            return new Data(train, eval, labels, prompt, found, Optional.of(own));
        }
    }

    /** Labels and how often each occurs, for people. */
    static String counted(List<String> all) {
        Map<String, Integer> counts = new HashMap<>();
        all.forEach(label -> counts.merge(label, 1, Integer::sum));
        List<String> labels = Dataset.sorted(all);
        String shown = labels.stream()
                .limit(SHOWN)
                .map(label -> Shown.of(label) + " (" + counts.get(label) + ")")
                .collect(Collectors.joining(", "));
        return labels.size() + " labels: " + shown + (labels.size() > SHOWN ? ", …" : "");
    }

    /**
     * Reads the data.
     *
     * @param eval the dev set's file, if it has one
     * @throws dev.adapt.formats.FormatException if a file is not as it must be
     * @throws dev.adapt.formats.UsageException if the base cannot learn this
     */
    Data read(Path train, Optional<Path> eval, Source source) throws IOException;

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

        /** What is suspicious about the outputs, in a sentence. */
        default Optional<String> warning() {
            return Optional.empty();
        }
    }

    /**
     * A tally of nothing yet.
     *
     * @param labels of the model's head by index; none where it has no head
     */
    Tally tally(List<String> labels);
}
