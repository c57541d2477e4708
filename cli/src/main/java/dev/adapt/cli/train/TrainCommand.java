package dev.adapt.cli.train;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Described;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.HeadNote;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TrainProgress;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.MethodType;
import dev.adapt.train.DevData;
import dev.adapt.train.Learner;
import dev.adapt.train.TrainConfig;
import dev.adapt.train.TrainResult;
import dev.adapt.train.Trainer;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.device.Devices;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.task.CausalLm;
import dev.adapt.train.task.Classification;
import dev.adapt.train.task.ImageClassification;
import dev.adapt.train.task.Regression;
import dev.adapt.train.task.Task;
import dev.adapt.train.task.TokenClassification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code adapt train}: an adapter from a base and a data file. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Trains an adapter beside a frozen base and writes it as a PEFT folder, with training.jsonl (a line per step)"
                    + " and summary.json.",
            "--method full trains a whole model and --method lors a whole model whose layers share weights: from random"
                    + " values (--from-scratch), from --base, or, for lors, from a checkpoint that it decomposes (--into).",
            "Ctrl-C keeps the best epoch so far (exit code 130). So does a run that diverges (exit code 2)."
        },
        footer = {
            "",
            "Examples: adapt train --base base --method lora --rank 8 --target query,value \\",
            "                      --data train.tsv --eval dev.tsv --out my-lora",
            "          adapt train --method lors --from-scratch --config bert.json \\",
            "                      --tokenizer tokenizer.json --rank 8 --groups 1,1,2,2 \\",
            "                      --data train.tsv --eval dev.tsv --out my-lors"
        })
public final class TrainCommand implements Callable<Integer>, Described {
    /** The exit code of a process that Ctrl-C ended, by convention of shells. */
    private static final int INTERRUPTED = 130;

    private static final List<String> COLUMNS = List.of("--text-column", "--label-column", "--header");

    /** What a model is trained with, and a decomposition alone is not. */
    private static final List<String> TRAINING = List.of(
            "--task",
            "--pooling",
            "--epochs",
            "--batch-size",
            "--lr",
            "--head-lr",
            "--weight-decay",
            "--warmup",
            "--clip",
            "--max-length",
            "--recompute",
            "--metric",
            "--seed",
            "--device",
            "--accumulate",
            "--schedule",
            "--patience",
            "--checkpoint-every",
            "--resume");

    /** The head begins at random, and learns faster than LoRA's factors need to. */
    static final double HEAD_LEARNING_RATE = 2e-3;

    /** What has learned once needs smaller steps. */
    private static final double WHOLE_LEARNING_RATE = 1e-4;

    /** The tasks that can be trained for. */
    enum Kind {
        CLASSIFICATION,
        TOKEN_CLASSIFICATION,
        REGRESSION,
        SIMILARITY,
        RETRIEVAL,
        CAUSAL_LM,
        IMAGE_CLASSIFICATION;

        /** Whether it trains vectors that stand for texts. */
        boolean isOfVectors() {
            return this == SIMILARITY || this == RETRIEVAL;
        }

        /** What the option calls it. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    /** Whether a TSV begins with a header. */
    enum Header {
        AUTO,
        YES,
        NO
    }

    @Mixin
    private StartOptions start = new StartOptions();

    @Option(
            names = "--method",
            required = true,
            paramLabel = "METHOD",
            completionCandidates = TrainedMethod.Names.class,
            converter = TrainedMethod.Converter.class,
            description = "one of ${COMPLETION-CANDIDATES}")
    private TrainedMethod method = new TrainedMethod.Full();

    @Mixin
    private MethodOptions options = new MethodOptions();

    @Option(
            names = "--target",
            split = ",",
            paramLabel = "NAME",
            description = "modules to adapt, by name or end of name; all-linear: all but experts and the head (default:"
                    + " BERT, RoBERTa, ViT: query,value; GPT-2: c_attn; Llama: q_proj,v_proj; lors: all linear layers)")
    private List<String> targets = new ArrayList<>();

    @Option(
            names = "--task",
            defaultValue = "classification",
            description = "what the model learns: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
    private Kind kind = Kind.CLASSIFICATION;

    @Option(
            names = "--data",
            paramLabel = "FILE",
            description =
                    "training data: TSV, CSV or JSONL; token-classification: a word and its label on each line, an empty line"
                            + " after a sentence, or JSONL with lists; similarity: two texts and a score; retrieval: a question,"
                            + " its passage and optionally passages that do not answer it; causal-lm: also .txt;"
                            + " image-classification: a folder with a folder per class, …images-idx3-ubyte(.gz), or .npz")
    private Optional<Path> data = Optional.empty();

    @Option(
            names = "--eval",
            paramLabel = "FILE|N%|none",
            converter = DevDataConverter.class,
            description =
                    "data to evaluate on after each epoch: a file; a share of the training data, stratified by class,"
                            + " such as 10%%; or none, which keeps the last epoch")
    private Optional<DevData> eval = Optional.empty();

    @Option(
            names = "--out",
            required = true,
            paramLabel = "DIR",
            description = "folder to write the adapter or model into")
    private Path out = Path.of("");

    @Option(
            names = "--text-column",
            split = ",",
            paramLabel = "COL",
            description = "column of the text, by name or number from 1; two for pairs (default: text or sentence, or"
                    + " sentence1,sentence2; token-classification: the first column, tokens or words; retrieval:"
                    + " query,passage; causal-lm: prompt)")
    private List<String> textColumns = new ArrayList<>();

    @Option(
            names = "--label-column",
            paramLabel = "COL",
            description =
                    "column of the label, by name or number from 1 (default: label; without a header, of two columns the one"
                            + " with fewer values; token-classification: the last column, labels, tags or ner_tags; causal-lm:"
                            + " response)")
    private Optional<String> labelColumn = Optional.empty();

    @Option(
            names = "--header",
            defaultValue = "auto",
            description =
                    "whether a table's first line names its columns: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
    private Header header = Header.AUTO;

    @Option(
            names = "--pooling",
            description =
                    "how token states become one vector: ${COMPLETION-CANDIDATES} (default: the base's pooler, else mean; similarity, retrieval:"
                            + " what its modules.json says, else mean)")
    private Optional<Pooling> pooling = Optional.empty();

    @Mixin
    private VectorOptions vectors = new VectorOptions();

    @Option(names = "--epochs", defaultValue = "3", description = "passes over the data (default: ${DEFAULT-VALUE})")
    private int epochs;

    @Option(names = "--batch-size", defaultValue = "32", description = "examples per step (default: ${DEFAULT-VALUE})")
    private int batchSize;

    @Option(
            names = "--lr",
            paramLabel = "X",
            description =
                    "peak learning rate (default: the usual one of the method: lora 1e-3, for causal-lm 5e-4; lors, full: 1e-3"
                            + " from scratch, else 1e-4)")
    private Optional<Double> learningRate = Optional.empty();

    @Option(
            names = "--head-lr",
            paramLabel = "X",
            defaultValue = "2e-3",
            description = "peak learning rate of the head that is trained with an adapter (default: ${DEFAULT-VALUE})")
    private double headLearningRate = HEAD_LEARNING_RATE;

    @Option(
            names = "--weight-decay",
            paramLabel = "X",
            defaultValue = "0.01",
            description = "weight decay of AdamW (default: ${DEFAULT-VALUE})")
    private double weightDecay;

    @Option(
            names = "--warmup",
            paramLabel = "X",
            defaultValue = "0.06",
            description = "share of all steps in which the learning rate rises to its peak (default: ${DEFAULT-VALUE})")
    private double warmUp;

    @Option(
            names = "--clip",
            paramLabel = "X",
            defaultValue = "1",
            description = "scale gradients down to this norm if theirs is larger (default: ${DEFAULT-VALUE})")
    private double clip;

    @Mixin
    private CourseOptions course = new CourseOptions();

    @Option(
            names = "--max-length",
            paramLabel = "N",
            description = "cut examples, and pack text into blocks, at N tokens (default: 128; causal-lm: 512)")
    private Optional<Integer> maxLength = Optional.empty();

    @Option(
            names = "--recompute",
            description =
                    "gradient checkpointing: recompute activations in the backward pass, for less memory and a third more"
                            + " time")
    private boolean recompute;

    @Option(
            names = "--metric",
            description =
                    "score that chooses the best epoch: ${COMPLETION-CANDIDATES} (default: by task: accuracy, entity_f1, pearson,"
                            + " spearman, ndcg_10, perplexity)")
    private Optional<Metric> metric = Optional.empty();

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "42",
            description = "random seed; on the CPU the same seed gives the same bytes (default: ${DEFAULT-VALUE})")
    private long seed;

    @Option(
            names = "--device",
            defaultValue = "auto",
            description = "where to compute: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
    private Devices device = Devices.AUTO;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        requireUsed(new GivenOptions(spec));
        StartOptions.Start from = start.resolve(method, options, targets, seed);
        if (data.isEmpty() && eval.isEmpty() && from.decomposition().isPresent()) {
            from.write(out, output.apartFrom(List.of(), start.inputs()));
            return 0;
        }
        if (data.isEmpty() || eval.isEmpty()) {
            throw new UsageException("give both --data and --eval; only --method lors --into does without, and then"
                    + " decomposes without training");
        }
        return train(config(from));
    }

    /** Refuses what the method, the task or a decomposition without training would ignore. */
    private void requireUsed(GivenOptions given) {
        if (method.isWhole()) {
            given.refuse("all of the model is trained with --lr, its head included", "--head-lr");
        }
        if (kind == Kind.IMAGE_CLASSIFICATION) {
            given.refuse("images have no columns and no tokens", COLUMNS.toArray(String[]::new));
            given.refuse("images have no columns and no tokens", "--max-length");
        }
        if (kind == Kind.TOKEN_CLASSIFICATION) {
            given.refuse("each token has its own state and label", "--pooling");
        }
        if (kind.isOfVectors()) {
            given.refuse("vectors of texts are trained without a new head", "--head-lr");
        }
        vectors.requireUsed(kind, given);
        if (kind == Kind.CAUSAL_LM) {
            given.refuse("a language model is trained without a new head", "--head-lr", "--pooling");
        }
        if (method instanceof TrainedMethod.Stacks && data.isEmpty() && eval.isEmpty()) {
            given.refuse("nothing is trained without --data and --eval", TRAINING.toArray(String[]::new));
            given.refuse("nothing is trained without --data and --eval", COLUMNS.toArray(String[]::new));
        }
    }

    private int train(TrainConfig config) throws IOException {
        AtomicBoolean stop = new AtomicBoolean();
        CountDownLatch finished = new CountDownLatch(1);
        Thread onInterrupt = Thread.ofPlatform().unstarted(() -> {
            stop.set(true);
            awaitQuietly(finished);
        });
        Runtime.getRuntime().addShutdownHook(onInterrupt);
        TrainProgress progress = new TrainProgress();
        try {
            Outputs outputs = output.endingInOrder(List.of(config.data()), inputs(config));
            Optional<TrainResult> trained = Trainer.train(
                    config, progress, stop::get, outputs, new TrainDocuments(spec, method, options, kind, config));
            progress.endLine();
            if (trained.isEmpty()) {
                Terminal.line("Stopped before the first step; nothing was written.");
                return INTERRUPTED;
            }
            TrainResult result = trained.get();
            report(config, result);
            if (result.diverged().isPresent()) {
                throw new UsageException(result.diverged().get().text() + "; the best epoch so far, " + result.best()
                        + ", is in " + result.out() + "; to train on, lower --lr (now " + config.learningRate() + ")");
            }
            return result.stopped() ? INTERRUPTED : 0;
        } finally {
            progress.endLine();
            finished.countDown();
            if (!stop.get()) {
                Runtime.getRuntime().removeShutdownHook(onInterrupt);
            }
        }
    }

    private List<Optional<Path>> inputs(TrainConfig config) {
        List<Optional<Path>> inputs = new ArrayList<>(start.inputs());
        inputs.add(config.eval().file());
        return inputs;
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private TrainConfig config(StartOptions.Start from) throws IOException {
        double usual = from.hasLearned() ? WHOLE_LEARNING_RATE : defaultLearningRate(method, kind);
        return new TrainConfig(
                from.folder(),
                from.learner(),
                targets,
                task(from.folder()),
                data.orElseThrow(),
                eval.orElseThrow(),
                out,
                kind.isOfVectors() ? Optional.empty() : pooling,
                epochs,
                batchSize,
                learningRate.orElse(usual),
                headLearningRate,
                weightDecay,
                warmUp,
                clip,
                maxLength.orElse(kind == Kind.CAUSAL_LM ? 512 : 128),
                recompute,
                metric,
                seed,
                device,
                course.course());
    }

    private Task task(Path base) throws IOException {
        Dataset.Columns columns = new Dataset.Columns(
                textColumns, labelColumn, header == Header.AUTO ? Optional.empty() : Optional.of(header == Header.YES));
        return switch (kind) {
            case CLASSIFICATION -> new Classification(columns);
            case TOKEN_CLASSIFICATION -> new TokenClassification(columns);
            case REGRESSION -> new Regression(columns);
            case SIMILARITY -> vectors.similarity(columns, base, pooling);
            case RETRIEVAL -> vectors.retrieval(columns, base, pooling);
            case CAUSAL_LM -> new CausalLm(columns);
            case IMAGE_CLASSIFICATION -> new ImageClassification();
        };
    }

    @Override
    public void describe(ObjectNode result) throws IOException {
        result.put("out", out.toString());
        Path summary = out.resolve(Trainer.SUMMARY);
        if (Files.exists(summary)) {
            result.setAll(JsonDocument.read(summary).json());
        }
    }

    /** The usual learning rate of a method; a language model has no new head, and takes smaller steps. */
    static double defaultLearningRate(TrainedMethod method, Kind kind) {
        return switch (method) {
            case TrainedMethod.Adapter(MethodType type) ->
                kind == Kind.CAUSAL_LM
                        ? type.training().languageRate()
                        : type.training().learningRate();
            case TrainedMethod.Stacks _, TrainedMethod.Full _ -> 1e-3;
        };
    }

    private void report(TrainConfig config, TrainResult result) {
        String what = config.learner() instanceof Learner.Whole ? "model" : "adapter";
        if (result.stopped()) {
            Terminal.line(
                    result.best() == 0
                            ? "Stopped before the first epoch's end; the " + what + " as it stood is in " + result.out()
                            : "Stopped; the best " + what + " so far, of epoch " + result.best() + ", is in "
                                    + result.out());
        } else {
            Terminal.line((what.equals("model") ? "Model" : "Adapter") + " of epoch " + result.best() + " in "
                    + result.out());
        }
        if (result.patienceOver() > 0) {
            Terminal.line("Ended after epoch " + result.patienceOver()
                    + ": no better score for as many epochs as --patience");
        }
        if (result.best() > 0 && !result.scores().isEmpty()) {
            Metric chosenBy = result.chosenBy();
            Terminal.line(
                    "%s",
                    result.kept().text(chosenBy, result.scores().getFirst().of(chosenBy)));
        }
        result.ownPooling().ifPresent(own -> Terminal.note(HeadNote.of(own)));
        Terminal.line(
                "%s  %s  %.1f examples/s  %.0f s on %s",
                parameters(config, result),
                new Bytes(result.adapterBytes()),
                result.examplesPerSecond(),
                result.seconds(),
                result.device());
    }

    private static String parameters(TrainConfig config, TrainResult result) {
        return config.learner() instanceof Learner.Whole
                ? String.format(Locale.ROOT, "%,d parameters", result.adapterParameters())
                : String.format(
                        Locale.ROOT,
                        "%,d adapter + %,d head parameters",
                        result.adapterParameters(),
                        result.headParameters());
    }
}
