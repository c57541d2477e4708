package dev.adapt.cli.predict;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.Text;
import dev.adapt.train.predict.Prediction;
import dev.adapt.train.predict.Predictor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code adapt predict}: what a model makes of texts. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Predicts classes with scores, numbers or entities for texts; embeddings, where the model has no head."
                    + " Texts are arguments, a file, or the lines of standard input.",
            "TSV has a line for each text: label and score; number; or the values of the vector. Each entity has a line:"
                    + " number of the text from 1, label, entity, start, end and score."
        },
        footer = {
            "",
            "Examples: adapt predict --base base --adapter my-lora \"a fine film\"",
            "          adapt predict --onnx merged/model.onnx --data texts.txt --format jsonl",
            "          cat texts.txt | adapt predict --base merged"
        })
public final class PredictCommand implements Callable<Integer> {
    /** Texts that are read before the first of them is predicted. */
    private static final int CHUNK = 1024;

    private static final JsonMapper JSON = new JsonMapper();

    /** How predictions are written. */
    enum Format {
        TSV,
        JSONL
    }

    @Parameters(arity = "0..*", paramLabel = "TEXT", description = "texts, instead of a file or standard input")
    private List<String> texts = new ArrayList<>();

    @Mixin
    private PredictorOptions model = new PredictorOptions();

    @Option(names = "--data", paramLabel = "FILE", description = "texts: TSV, CSV or JSONL, or a text on each line")
    private Optional<Path> data = Optional.empty();

    @Option(
            names = "--text-column",
            split = ",",
            paramLabel = "COL",
            description = "column of --data, by name or number from 1; two for pairs (default: text or sentence)")
    private List<String> textColumns = new ArrayList<>();

    @Option(
            names = "--format",
            defaultValue = "tsv",
            description = "output format: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
    private Format format = Format.TSV;

    @Mixin
    private EmbeddingOptions embedding = new EmbeddingOptions();

    @Option(names = "--normalize", description = "embeddings of length 1, also where modules.json does not say so")
    private boolean normalize;

    @Option(
            names = "--prompt",
            paramLabel = "NAME",
            description =
                    "of a model without a head: the prompt to put before each text, by its name in the model's folder, such as"
                            + " query or document (default: the model's default prompt, if any)")
    private Optional<String> prompt = Optional.empty();

    private int number;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        if (!texts.isEmpty() && data.isPresent()) {
            throw new UsageException("give texts as arguments or as --data, not both");
        }
        if (data.isEmpty()) {
            new GivenOptions(spec).refuse("columns are those of --data, which is not given", "--text-column");
        }
        return model.use(folder -> embedding.choose(folder, normalize), this::predict);
    }

    private int predict(Predictor predictor) throws IOException {
        if (data.isPresent()) {
            Dataset.Columns columns = new Dataset.Columns(textColumns, Optional.empty(), Optional.empty());
            print(
                    predictor,
                    Dataset.readTexts(data.get(), columns).examples().stream()
                            .map(Example::text)
                            .toList());
        } else if (!texts.isEmpty()) {
            print(predictor, texts.stream().map(PredictCommand::single).toList());
        } else {
            readLines(predictor);
        }
        return 0;
    }

    private static Text single(String text) {
        if (text.isBlank()) {
            throw new UsageException("a text is empty; give some words");
        }
        return new Text.Single(text);
    }

    /** The lines of standard input, some at a time. */
    private void readLines(Predictor predictor) throws IOException {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            List<Text> read = new ArrayList<>();
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                read.add(single(line));
                if (read.size() == CHUNK) {
                    print(predictor, read);
                    read.clear();
                }
            }
            print(predictor, read);
        }
    }

    private void print(Predictor predictor, List<Text> all) {
        for (int from = 0; from < all.size(); from += CHUNK) {
            List<Text> chunk = all.subList(from, Math.min(all.size(), from + CHUNK));
            List<Prediction> predictions = predictor.predict(chunk, prompt);
            StringBuilder lines = new StringBuilder();
            for (int i = 0; i < chunk.size(); i++) {
                number++;
                lines.append(
                        format == Format.TSV ? tsv(predictions.get(i)) : json(chunk.get(i), predictions.get(i)) + "\n");
            }
            if (format == Format.TSV) {
                Terminal.lines(lines.toString());
            } else {
                Terminal.json(lines.toString().stripTrailing());
            }
        }
    }

    private String tsv(Prediction prediction) {
        return switch (prediction) {
            case Prediction.Classes(List<String> labels, var scores) ->
                Printable.name(String.join(",", labels))
                        + "\t"
                        + labels.stream()
                                .map(label -> number(scores.getOrDefault(label, 0.0)))
                                .collect(Collectors.joining(","))
                        + "\n";
            case Prediction.Value(double value) -> number(value) + "\n";
            case Prediction.Words words ->
                words.entities().stream().map(this::tsv).collect(Collectors.joining());
            case Prediction.Embedding(double[] values) ->
                Arrays.stream(values).mapToObj(PredictCommand::number).collect(Collectors.joining("\t")) + "\n";
        };
    }

    private String tsv(Prediction.Found entity) {
        return String.join(
                        "\t",
                        "" + number,
                        Printable.name(entity.label()),
                        Printable.line(entity.text()),
                        "" + entity.start(),
                        "" + entity.end(),
                        number(entity.score()))
                + "\n";
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.6g", value);
    }

    private static ObjectNode json(Text text, Prediction prediction) {
        ObjectNode line = JSON.createObjectNode();
        line.put("text", text.shown());
        switch (prediction) {
            case Prediction.Classes(List<String> labels, var scores) -> {
                ArrayNode chosen = line.putArray("labels");
                labels.forEach(chosen::add);
                ObjectNode each = line.putObject("scores");
                scores.forEach(each::put);
            }
            case Prediction.Value(double value) -> line.put("value", value);
            case Prediction.Words words -> {
                ArrayNode found = line.putArray("entities");
                words.entities()
                        .forEach(entity -> found.addObject()
                                .put("text", entity.text())
                                .put("label", entity.label())
                                .put("start", entity.start())
                                .put("end", entity.end())
                                .put("score", entity.score()));
            }
            case Prediction.Embedding(double[] values) -> {
                ArrayNode vector = line.putArray("embedding");
                Arrays.stream(values).forEach(vector::add);
            }
        }
        return line;
    }
}
