package dev.adapt.cli.train;

import dev.adapt.cli.train.TrainCommand.Kind;
import dev.adapt.train.Documents;
import dev.adapt.train.TrainConfig;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Model.CommandSpec;

/** What {@code adapt train} writes beside what it trained: its recipe, by which it can be run again, and a model card. */
record TrainDocuments(CommandSpec spec, TrainedMethod method, MethodOptions options, Kind kind, TrainConfig config)
        implements Documents {
    @Override
    public Map<String, String> of(Run run) {
        Map<String, Object> given = new LinkedHashMap<>();
        spec.commandLine().getParseResult().matchedOptions().stream()
                .filter(option -> !TrainedRecipe.LEFT_OUT.contains(option.longestName()))
                .forEach(option -> given.put(option.longestName().substring(2), option.stringValues()));
        chosen(run).forEach(given::putIfAbsent);
        String recipe = TrainedRecipe.text(given);
        return Map.of(
                "recipe.yaml", recipe, "README.md", ModelCard.text(config.out(), given, method.title(), kind, run));
    }

    /** What was chosen for the user, by the options that would have chosen it. */
    private Map<String, Object> chosen(Run run) {
        Map<String, Object> chosen = new LinkedHashMap<>();
        if (method instanceof TrainedMethod.Adapter adapter) {
            chosen.put("target", run.targets());
            chosen.putAll(options.chosen(adapter));
        }
        boolean headed = kind != Kind.CAUSAL_LM;
        run.columns().ifPresent(columns -> {
            if (!columns.text().isEmpty()) {
                chosen.put("text-column", columns.text());
            }
            columns.label().ifPresent(label -> chosen.put("label-column", label));
        });
        if (headed && kind != Kind.TOKEN_CLASSIFICATION) {
            run.head().ifPresent(head -> chosen.put("pooling", lowerCase(head.pooling())));
        }
        chosen.put("task", kind.toString());
        chosen.put("lr", config.learningRate());
        if (headed && !method.isWhole()) {
            chosen.put("head-lr", config.headLearningRate());
        }
        if (kind != Kind.IMAGE_CLASSIFICATION) {
            chosen.put("max-length", config.maxLength());
        }
        if (!run.result().scores().isEmpty()) {
            chosen.put("metric", lowerCase(run.result().chosenBy()));
        }
        for (String name :
                List.of("epochs", "batch-size", "accumulate", "schedule", "weight-decay", "warmup", "clip", "seed")) {
            chosen.put(name, spec.findOption("--" + name).defaultValue());
        }
        return chosen;
    }

    private static String lowerCase(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT);
    }
}
