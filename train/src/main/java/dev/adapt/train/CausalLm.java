package dev.adapt.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.Path;
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
    @Override
    public String name() {
        return "causal-lm";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.PERPLEXITY);
    }

    @Override
    public Data read(Path train, Path eval, Source source) throws IOException {
        if (source.architecture().cache().isEmpty()) {
            throw new UsageException(
                    "task causal-lm",
                    "the base " + source.base() + " ("
                            + source.config().modelType()
                            + ") has no language modelling head; give a decoder, such as gpt2 or llama");
        }
        return new Data(
                Continuations.read(train, columns, source),
                Continuations.read(eval, columns, source),
                Optional.empty());
    }

    @Override
    public NDArray loss(NDManager step, NDArray output, Batch batch) {
        return Losses.crossEntropyOfTokens(step, output, Losses.integers(batch.goals()));
    }

    @Override
    public Tally tally(List<String> labels) {
        return new Tally() {
            @Override
            public void add(NDArray output, Batch batch) {} // the loss says it all

            @Override
            public SequencedMap<Metric, Double> values(double loss) {
                SequencedMap<Metric, Double> values = new LinkedHashMap<>();
                values.put(Metric.PERPLEXITY, Math.exp(loss));
                return values;
            }
        };
    }
}
