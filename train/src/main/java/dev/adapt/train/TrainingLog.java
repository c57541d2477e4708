package dev.adapt.train;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.model.WholeModel;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Truncation;
import dev.adapt.train.metric.Scores;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** {@code training.jsonl}, a line per step and evaluation, the same for TensorBoard, and {@code summary.json}. */
final class TrainingLog {
    static final String STEPS = "training.jsonl";
    static final String SUMMARY = Trainer.SUMMARY;

    private final JsonMapper json = new JsonMapper();
    private final List<String> lines = new ArrayList<>();

    void stepped(Progress.Step step) {
        ObjectNode line = json.createObjectNode();
        line.put("step", step.step());
        line.put("epoch", step.epoch());
        line.put("loss", step.loss());
        line.put("lr", step.learningRate());
        line.put("grad_norm", step.gradientNorm());
        line.put("examples_per_second", Math.round(step.examplesPerSecond() * 10) / 10.0);
        lines.add(line.toString());
    }

    void evaluated(int epoch, Scores scores) {
        ObjectNode line = json.createObjectNode();
        line.put("epoch", epoch);
        put(line, scores);
        lines.add(line.toString());
    }

    private static void put(ObjectNode node, Scores scores) {
        node.put("eval_loss", scores.loss());
        scores.values().forEach((metric, value) -> node.put(metric.key(), value));
    }

    private static void put(ObjectNode node, Truncation truncation) {
        node.put("examples", truncation.examples());
        node.put("cut", truncation.cut());
        node.put("responses_cut", truncation.responses());
    }

    void write(OutputFolder folder, TrainConfig config, Setup setup, TrainResult result) throws IOException {
        folder.text(STEPS, String.join("\n", lines) + "\n");
        folder.bytes(TensorBoardEvents.FILE, TensorBoardEvents.of(lines, System.currentTimeMillis() / 1e3));
        ObjectNode summary = settings(config, setup);
        put(summary.putObject("truncated"), setup.train().truncation());
        put(
                summary.putObject("eval_truncated"),
                setup.eval().map(Examples::truncation).orElse(Truncation.none(0)));
        summary.put("device", result.device());
        summary.put("stopped_early", result.stopped());
        if (result.patienceOver() > 0) {
            summary.put("patience_over_after_epoch", result.patienceOver());
        }
        result.diverged().ifPresent(where -> summary.put("diverged_at_step", where.step()));
        result.ownPooling()
                .ifPresent(pooling -> summary.put("own_pooling", pooling.name().toLowerCase(Locale.ROOT)));
        summary.put("adapter_parameters", result.adapterParameters());
        summary.put("head_parameters", result.headParameters());
        summary.put("adapter_bytes", result.adapterBytes());
        summary.put("metric", config.chosenBy().key());
        summary.put("best_epoch", result.best());
        ArrayNode epochs = summary.putArray("epochs_scores");
        result.scores().forEach(scores -> put(epochs.addObject(), scores));
        summary.put("examples_per_second", result.examplesPerSecond());
        summary.put("train_seconds", result.seconds());
        folder.text(SUMMARY, summary.toPrettyString() + "\n");
    }

    /** All that decides a run. */
    ObjectNode settings(TrainConfig config, Setup setup) {
        ObjectNode settings = json.createObjectNode();
        settings.put(
                "method",
                switch (config.learner()) {
                    case Learner.Adapter(AdapterMethod method) -> method.peftType();
                    case Learner.Whole(WholeModel model) -> model.method();
                });
        settings.put("task", config.task().name());
        settings.put("base", config.base().toString());
        settings.put("data", config.data().toString());
        settings.put("eval", config.eval().toString());
        ArrayNode targets = settings.putArray("targets");
        setup.targets().forEach(targets::add);
        ObjectNode own = json.createObjectNode();
        switch (config.learner()) {
            case Learner.Adapter(AdapterMethod method) -> method.describe(own);
            case Learner.Whole(WholeModel model) -> model.describe(own);
        }
        if (!own.isEmpty()) {
            settings.set("method_config", own);
        }
        settings.put("epochs", config.epochs());
        settings.put("batch_size", config.batchSize());
        settings.put("lr", config.learningRate());
        settings.put("head_lr", config.headLearningRate());
        settings.put("weight_decay", config.weightDecay());
        settings.put("warmup", config.warmUp());
        settings.put("clip", config.clip());
        settings.put("max_length", config.maxLength());
        settings.put("recompute", config.recompute());
        settings.put("seed", config.seed());
        settings.put("schedule", config.course().decay().name().toLowerCase(Locale.ROOT));
        settings.put("accumulate", config.course().accumulate());
        config.course().patience().ifPresent(epochs -> settings.put("patience", epochs));
        settings.put("training_examples", setup.train().size());
        settings.put("dev_examples", setup.eval().map(Examples::size).orElse(0));
        return settings;
    }

    /** The lines of {@code training.jsonl} so far. */
    List<String> lines() {
        return List.copyOf(lines);
    }

    /** Goes on after the lines of another run. */
    void resume(List<String> before) {
        lines.addAll(before);
    }
}
