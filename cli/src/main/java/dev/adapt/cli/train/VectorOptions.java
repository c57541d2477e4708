package dev.adapt.cli.train;

import dev.adapt.cli.options.GivenOptions;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.task.Retrieval;
import dev.adapt.train.task.Similarity;
import dev.adapt.train.task.Task;
import dev.adapt.train.task.TextVectors;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import picocli.CommandLine.Option;

/** What decides how vectors of texts are trained. */
final class VectorOptions {
    private static final String[] ALL = {"--loss", "--temperature", "--dimensions", "--query-prefix", "--passage-prefix"
    };

    @Option(
            names = "--loss",
            defaultValue = "cosent",
            description =
                    "similarity: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}); cosent learns the order of scores, cosine the"
                            + " scores themselves")
    private Similarity.Loss loss = Similarity.Loss.COSENT;

    @Option(
            names = "--temperature",
            paramLabel = "X",
            defaultValue = "0.05",
            description = "similarity, retrieval: divide cosines by X (default: ${DEFAULT-VALUE})")
    private double temperature = Similarity.TEMPERATURE;

    @Option(
            names = "--dimensions",
            split = ",",
            paramLabel = "N",
            description =
                    "similarity, retrieval: vectors cut to these sizes must do too (Matryoshka), such as 256,128,64")
    private List<Integer> dimensions = new ArrayList<>();

    @Option(
            names = "--query-prefix",
            paramLabel = "TEXT",
            description =
                    "similarity: before both texts; retrieval: before questions (default: the base's prompt query)")
    private Optional<String> queryPrefix = Optional.empty();

    @Option(
            names = "--passage-prefix",
            paramLabel = "TEXT",
            description = "retrieval: before passages (default: the base's prompt document)")
    private Optional<String> passagePrefix = Optional.empty();

    /** Refuses what a task that trains no vectors, or no passages, would ignore. */
    void requireUsed(TrainCommand.Kind kind, GivenOptions given) {
        switch (kind) {
            case SIMILARITY -> given.refuse("similarity has no passages", "--passage-prefix");
            case RETRIEVAL -> {
                given.refuse("retrieval is trained by InfoNCE", "--loss");
                given.refuse("questions and passages have no label", "--label-column");
            }
            default -> given.refuse("--task " + kind + " trains no vectors of texts", ALL);
        }
    }

    /** The task of pairs with scores. */
    Task similarity(Dataset.Columns columns, Path base, Optional<Pooling> pooling) throws IOException {
        return new Similarity(columns, vectors(base, pooling, true), loss, temperature);
    }

    /** The task of questions and passages. */
    Task retrieval(Dataset.Columns columns, Path base, Optional<Pooling> pooling) throws IOException {
        return new Retrieval(columns, vectors(base, pooling, false), temperature);
    }

    private TextVectors vectors(Path base, Optional<Pooling> pooling, boolean alike) throws IOException {
        SentenceModules own =
                SentenceModules.of(base).orElseGet(() -> new SentenceModules(pooling.orElse(Pooling.MEAN), true));
        Pooling chosen = pooling.orElse(own.pooling());
        if (!SentenceModules.isOfSentences(chosen)) {
            throw new UsageException("--pooling: expected mean, cls, max or last for vectors of texts");
        }
        SequencedMap<String, String> prompts = new LinkedHashMap<>(own.prompts());
        queryPrefix.ifPresent(prefix -> prompts.put(SentenceModules.QUERY, prefix));
        passagePrefix.ifPresent(prefix -> prompts.put(SentenceModules.DOCUMENT, prefix));
        // of two texts that are alike neither is the question: one prompt serves all
        Optional<String> usual = alike && queryPrefix.isPresent() ? Optional.of(SentenceModules.QUERY) : own.usual();
        return new TextVectors(
                new SentenceModules(chosen, own.normalized(), own.longest(), prompts, usual), dimensions);
    }
}
