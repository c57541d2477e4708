package dev.adapt.cli.train;

import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Release;
import dev.adapt.cli.train.TrainCommand.Kind;
import dev.adapt.train.Documents;
import dev.adapt.train.TrainResult;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Scores;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

/** The model card of what was trained: README.md with the header that the Hugging Face hub reads. */
final class ModelCard {
    private ModelCard() {}

    /**
     * The card as Markdown.
     *
     * @param options the recipe's
     * @param method in a word
     */
    static String text(Path out, Map<String, ?> options, String method, Kind kind, Documents.Run run) {
        TrainResult result = run.result();
        StringBuilder text = new StringBuilder("---\n");
        if (options.containsKey("base")) {
            text.append(TrainedRecipe.text(Map.of("base_model", options.get("base")))
                            .lines()
                            .skip(1)
                            .findFirst()
                            .orElse(""))
                    .append('\n');
        }
        text.append("library_name: peft\n");
        text.append("pipeline_tag: ").append(pipeline(kind)).append('\n');
        text.append("tags: [adapt, ")
                .append(method.toLowerCase(Locale.ROOT).replace(' ', '-'))
                .append("]\n---\n\n");
        text.append("# ")
                .append(Printable.name(String.valueOf(out.getFileName())))
                .append("\n\n");
        text.append("Trained with adapt ")
                .append(Release.here().version())
                .append(" by ")
                .append(method);
        text.append(String.format(
                Locale.ROOT,
                ": %,d adapter and %,d head parameters.\n\n",
                result.adapterParameters(),
                result.headParameters()));
        if (!result.scores().isEmpty()) {
            text.append("| dev data | before | epoch ").append(result.best()).append(" (kept) |\n|---|---|---|\n");
            row(text, "loss", result.scores().getFirst().loss(), result.kept().loss());
            Scores before = result.scores().getFirst();
            for (Metric metric : before.values().keySet()) {
                row(text, metric.label(), before.of(metric), result.kept().of(metric));
            }
            text.append('\n');
        }
        text.append("## Data\n\n");
        run.found()
                .forEach(line ->
                        text.append("- ").append(Printable.message(line)).append('\n'));
        text.append("\n## Recipe\n\n`adapt train --config recipe.yaml` trains it again.\n\n```yaml\n")
                .append(TrainedRecipe.text(options))
                .append("```\n");
        return text.toString();
    }

    private static void row(StringBuilder text, String name, double before, double after) {
        text.append(String.format(Locale.ROOT, "| %s | %.4f | %.4f |\n", name, before, after));
    }

    private static String pipeline(Kind kind) {
        return switch (kind) {
            case CLASSIFICATION, REGRESSION -> "text-classification";
            case TOKEN_CLASSIFICATION -> "token-classification";
            case SIMILARITY, RETRIEVAL -> "sentence-similarity";
            case CAUSAL_LM -> "text-generation";
            case IMAGE_CLASSIFICATION -> "image-classification";
        };
    }
}
