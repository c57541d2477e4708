package dev.adapt.train.data;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import java.nio.file.Path;

/**
 * What a task reads its data with: the base that is to learn it.
 *
 * @param base the checkpoint folder
 * @param maxLength tokens of an example, special tokens included
 */
public record Source(Path base, ModelConfig config, Architecture architecture, int maxLength) {
    /**
     * What token sequences the base takes.
     *
     * @throws UsageException if it is no model of texts
     */
    Tokens tokens() {
        return architecture
                .tokens()
                .orElseThrow(() -> new UsageException(
                        "task", config.modelType() + " is no model of texts, and this task is one of texts"));
    }

    /** How many tokens the base knows. */
    public int vocabulary() {
        return tokens().vocabulary();
    }

    /** The most tokens of an example. */
    public int longest() {
        return Math.min(maxLength, tokens().longest());
    }

    /** The id that fills a batch up. */
    public long padding() {
        int own = (int) config.document().number("pad_token_id", 0);
        return own >= 0 && own < vocabulary() ? own : 0;
    }

    /** Whether the base has an input of this name. */
    public boolean takes(String input) {
        return architecture.inputs().stream().anyMatch(own -> own.name().equals(input));
    }

    /**
     * Token ids from a file, unchanged.
     *
     * @throws dev.adapt.formats.FormatException naming the line of an id that the base does not know
     */
    public long[] known(long[] ids, Path file, int line) {
        for (long id : ids) {
            if (id < 0 || id >= vocabulary()) {
                throw Lines.fault(
                        file, line, "holds the token id " + id + ", and the model knows 0 to " + (vocabulary() - 1));
            }
        }
        return ids;
    }
}
