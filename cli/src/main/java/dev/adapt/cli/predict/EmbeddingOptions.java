package dev.adapt.cli.predict;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.train.predict.Predictor;
import java.util.Optional;
import picocli.CommandLine.Option;

/** How token states become vectors, where a model has no head. */
final class EmbeddingOptions {
    @Option(
            names = "--pooling",
            paramLabel = "mean|cls|max|last",
            description =
                    "of a model without a head: the mean or the maximum of all token states, or the first or the last"
                            + " one (what modules.json says, else mean)")
    private Optional<Pooling> pooling = Optional.empty();

    @Option(names = "--dimension", paramLabel = "N", description = "cut embeddings to their first N elements")
    private Optional<Integer> dimension = Optional.empty();

    /**
     * What was chosen, beside what the model's folder says.
     *
     * @param normalize whether vectors have length 1, also where the folder does not say so
     * @throws UsageException if an option cannot be
     */
    Predictor.Vectors choose(Optional<SentenceModules> folder, boolean normalize) {
        if (pooling.filter(own -> !SentenceModules.isOfSentences(own)).isPresent()) {
            throw new UsageException("--pooling: expected mean, cls, max or last");
        }
        if (dimension.filter(size -> size < 1).isPresent()) {
            throw new UsageException("--dimension: expected at least 1, found " + dimension.get());
        }
        SentenceModules own = folder.orElseGet(() -> new SentenceModules(Pooling.MEAN, false));
        SentenceModules chosen = new SentenceModules(
                pooling.orElse(own.pooling()),
                normalize || own.normalized(),
                own.longest(),
                own.prompts(),
                own.usual());
        return new Predictor.Vectors(chosen, dimension);
    }
}
