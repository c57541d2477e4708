package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Metric;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * Causal language modelling: the next token of a text, or of the response to a prompt, by the base's own head and
 * cross-entropy. What the files may hold is said at {@link Continuations}.
 *
 * @param columns the text column is the prompt, the label column the response
 */
public record CausalLm(Dataset.Columns columns) implements Task {
    /** The logits that are computed at a time, once the size of the vocabulary is known: 16 MiB. */
    private static final int LOGITS = 1 << 22;

    private static final int FIRST_TOKENS = 64;

    @Override
    public String name() {
        return "causal-lm";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.PERPLEXITY);
    }

    @Override
    public Data read(Path train, Optional<Path> eval, Source source) throws IOException {
        if (source.architecture().cache().isEmpty()) {
            throw new UsageException(
                    "task causal-lm",
                    "the base " + source.base() + " ("
                            + source.config().modelType()
                            + ") has no language modelling head; give a decoder, such as gpt2 or llama");
        }
        Continuations own = Continuations.read(train, columns, source);
        Optional<Examples> dev =
                eval.isPresent() ? Optional.of(Continuations.read(eval.get(), columns, source)) : Optional.empty();
        return new Data(own, dev, Optional.empty(), own.prompt(), List.of(), Optional.empty());
    }

    /** Only the states before a learned token are looked at, some at a time: a vocabulary is wide. */
    @Override
    public double loss(NDArrayOps ops, Unfinished<NDArray> output, Batch batch, Gradients gradients) {
        Losses.Places places = Losses.Places.of(batch);
        int count = places.classes().length;
        NDManager step = ops.manager();
        NDArray wanted = places.rows(ops, output.states());
        NDArray collecting = gradients.collecting(step, wanted);
        double loss = 0;
        int rows = FIRST_TOKENS;
        for (int from = 0; from < count; ) {
            int to = Math.min(count, from + rows);
            Part part = part(ops, output, ops.slice(collecting, 0, from, to), places.classes(), from, count, gradients);
            loss += part.loss();
            from = to;
            rows = Math.max(FIRST_TOKENS, LOGITS / part.vocabulary());
        }
        gradients.passOn(step, collecting, wanted);
        return loss;
    }

    /** What some tokens add to the loss. */
    private record Part(double loss, int vocabulary) {}

    private static Part part(
            NDArrayOps ops,
            Unfinished<NDArray> output,
            NDArray states,
            long[] tokens,
            int from,
            int count,
            Gradients gradients) {
        int[] vocabulary = {0};
        NDArray loss = ops.scope(() -> {
            NDArray logits = output.last().apply(states);
            vocabulary[0] = (int) logits.getShape().get(1);
            long[] own = Arrays.copyOfRange(
                    tokens, from, from + (int) states.getShape().get(0));
            NDArray mean = Losses.crossEntropy(ops.manager(), logits, own);
            NDArray share = ops.affine(mean, (double) own.length / count, 0);
            gradients.part(ops.manager(), share);
            return ops.stopGradient(share);
        });
        return new Part(loss.getFloat(), vocabulary[0]);
    }

    @Override
    public Tally tally(List<String> labels) {
        return new Tally() {
            @Override
            public void add(Unfinished<NDArray> output, Batch batch) {} // the loss says it all

            @Override
            public SequencedMap<Metric, Double> values(double loss) {
                SequencedMap<Metric, Double> values = new LinkedHashMap<>();
                values.put(Metric.PERPLEXITY, Math.exp(loss));
                return values;
            }
        };
    }
}
