package dev.adapt.cli.predict;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.UsageException;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.predict.Evaluation;
import dev.adapt.train.predict.Predictor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code adapt evaluate}: how good a model's predictions of a labelled file are. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Predicts the texts of a labelled file and prints how good the predictions are: of classes accuracy, F1, the"
                    + " figures of each class and the confusion matrix; of words entity F1 too; of numbers correlations. Of a"
                    + " model without a head, the cosines of its embeddings are compared with scores (--task similarity), or"
                    + " passages are found by them (--task retrieval).",
            "The exit code is 4 if a figure is below what --min asks for."
        },
        footer = {"", "Example: adapt evaluate --base merged --data test.tsv --min accuracy=0.9"})
public final class EvaluateCommand implements Callable<Integer> {
    /** Wider confusion matrices fit no terminal. */
    private static final int WIDEST = 16;

    /** What embeddings are compared for. */
    enum Task {
        SIMILARITY,
        RETRIEVAL
    }

    /** Whether a table begins with a header. */
    enum Header {
        AUTO,
        YES,
        NO
    }

    @Mixin
    private PredictorOptions model = new PredictorOptions();

    @Option(
            names = "--data",
            required = true,
            paramLabel = "FILE",
            description = "labelled texts: TSV, CSV or JSONL; for a model that labels words, as train reads them")
    private Path data = Path.of("");

    @Option(
            names = "--text-column",
            split = ",",
            paramLabel = "COL",
            description = "column of the text, by name or number from 1; two for pairs (default: text or sentence)")
    private List<String> textColumns = new ArrayList<>();

    @Option(
            names = "--label-column",
            paramLabel = "COL",
            description = "column of the label, by name or number from 1 (default: label)")
    private Optional<String> labelColumn = Optional.empty();

    @Option(
            names = "--header",
            defaultValue = "auto",
            description = "whether a table's first line names its columns: ${COMPLETION-CANDIDATES} (default:"
                    + " ${DEFAULT-VALUE})")
    private Header header = Header.AUTO;

    @Option(
            names = "--task",
            description =
                    "of a model without a head, whose embeddings are compared: ${COMPLETION-CANDIDATES}; the file is as"
                            + " train takes it")
    private Optional<Task> task = Optional.empty();

    @Mixin
    private EmbeddingOptions embedding = new EmbeddingOptions();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Option(
            names = "--min",
            paramLabel = "METRIC=X",
            description =
                    "smallest value that passes, of accuracy, f1, matthews, entity_f1, pearson, spearman, ndcg_10 or"
                            + " recall_1, recall_5, recall_10")
    private Map<Metric, Double> least = new LinkedHashMap<>();

    @Mixin
    private JsonOption json = new JsonOption();

    @Override
    public Integer call() throws IOException {
        json.require();
        if (task.filter(Task.RETRIEVAL::equals).isPresent()) {
            new GivenOptions(spec).refuse("questions and passages have no label", "--label-column");
        }
        if (task.isEmpty()) {
            new GivenOptions(spec).refuse("embeddings are compared with --task only", "--pooling", "--dimension");
        }
        return model.use(folder -> embedding.choose(folder, true), predictor -> {
            Evaluation evaluation = evaluation(predictor);
            requireFigures(evaluation);
            if (!json.prints()) {
                print(evaluation);
            }
            json.write(json(evaluation));
            return passes(evaluation) ? 0 : Failure.NOT_EQUAL;
        });
    }

    private Evaluation evaluation(Predictor predictor) throws IOException {
        Dataset.Columns columns = new Dataset.Columns(
                textColumns, labelColumn, header == Header.AUTO ? Optional.empty() : Optional.of(header == Header.YES));
        if (task.isEmpty()) {
            return Evaluation.of(predictor, data, columns);
        }
        return switch (task.get()) {
            case SIMILARITY -> Evaluation.ofPairs(predictor, data, columns);
            case RETRIEVAL -> Evaluation.ofPassages(predictor, data, columns);
        };
    }

    private void requireFigures(Evaluation evaluation) {
        for (Metric metric : least.keySet()) {
            if (!evaluation.figures().containsKey(metric)) {
                throw new UsageException("--min " + metric.key() + ": the model gives "
                        + String.join(
                                ", ",
                                evaluation.figures().keySet().stream()
                                        .map(Metric::key)
                                        .toList()));
            }
        }
    }

    private boolean passes(Evaluation evaluation) {
        boolean passes = true;
        for (Map.Entry<Metric, Double> each : least.entrySet()) {
            double found = evaluation.figures().getOrDefault(each.getKey(), Double.NaN);
            if (!(found >= each.getValue())) {
                Terminal.progress(String.format(
                        Locale.ROOT, "%s is %.4f, below %s", each.getKey().label(), found, each.getValue()));
                passes = false;
            }
        }
        return passes;
    }

    private static void print(Evaluation evaluation) {
        Terminal.line("%,d examples", evaluation.examples());
        evaluation.figures().forEach((metric, value) -> Terminal.line("%s %.4f", metric.label(), value));
        List<Evaluation.OfClass> classes = evaluation.classes();
        if (classes.isEmpty()) {
            return;
        }
        TextTable table = new TextTable("class", "examples", "precision", "recall", "F1");
        classes.forEach(own ->
                table.row(own.label(), own.examples(), share(own.precision()), share(own.recall()), share(own.f1())));
        Terminal.lines("\n");
        Terminal.table(table);
        if (classes.size() <= WIDEST) {
            List<String> headings = new ArrayList<>(List.of("true \\ predicted"));
            classes.forEach(own -> headings.add(own.label()));
            TextTable matrix = new TextTable(headings.toArray(String[]::new));
            for (Evaluation.OfClass own : classes) {
                List<Object> row = new ArrayList<>(List.of(own.label()));
                row.addAll(own.predicted());
                matrix.row(row.toArray());
            }
            Terminal.table(matrix);
        }
    }

    private static String share(double value) {
        return String.format(Locale.ROOT, "%.4f", value);
    }

    private static ObjectNode json(Evaluation evaluation) {
        ObjectNode all = new JsonMapper().createObjectNode();
        all.put("examples", evaluation.examples());
        evaluation.figures().forEach((metric, value) -> all.put(metric.key(), value));
        ArrayNode classes = all.putArray("classes");
        for (Evaluation.OfClass own : evaluation.classes()) {
            ObjectNode each = classes.addObject()
                    .put("label", own.label())
                    .put("examples", own.examples())
                    .put("precision", own.precision())
                    .put("recall", own.recall())
                    .put("f1", own.f1());
            ArrayNode predicted = each.putArray("predicted");
            own.predicted().forEach(predicted::add);
        }
        return all;
    }
}
