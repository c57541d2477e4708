package dev.adapt.cli;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.AdapterMethod;
import dev.adapt.formats.adapter.CondLora;
import dev.adapt.formats.adapter.Lora;
import dev.adapt.formats.adapter.Projection;
import dev.adapt.formats.adapter.Vera;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.train.CausalLm;
import dev.adapt.train.Classification;
import dev.adapt.train.Dataset;
import dev.adapt.train.Devices;
import dev.adapt.train.ImageClassification;
import dev.adapt.train.Metric;
import dev.adapt.train.Regression;
import dev.adapt.train.Task;
import dev.adapt.train.TrainConfig;
import dev.adapt.train.TrainResult;
import dev.adapt.train.Trainer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code adapt train}: an adapter from a base and a data file. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Trains an adapter beside a frozen base and writes it as a PEFT folder, with training.jsonl (a line per step)"
                    + " and summary.json.",
            "Ctrl-C keeps the best epoch so far."
        },
        footer = {
            "",
            "Example: adapt train --base base --method lora --rank 8 --target query,value \\",
            "                     --data train.tsv --eval dev.tsv --out my-lora"
        })
final class TrainCommand implements Callable<Integer> {
    /** The exit code of a process that Ctrl-C ended, by convention of shells. */
    private static final int INTERRUPTED = 130;

    /** The head begins at random, and learns faster than LoRA's factors need to. */
    static final double HEAD_LEARNING_RATE = 2e-3;

    /** What VeRA's d starts at. */
    private static final double D_INITIAL = 0.1;

    /** The methods that can be trained. */
    enum Method {
        LORA,
        VERA,
        CONDLORA;

        /** The method with its usual settings. */
        AdapterMethod ofRank(int rank) {
            return switch (this) {
                case LORA -> new Lora(rank, 2.0 * rank, 0);
                case VERA -> new Vera(rank, D_INITIAL, 0, 0, false, Projection.Rounding.FMA);
                case CONDLORA -> new CondLora(rank, 2.0 * rank, 0);
            };
        }
    }

    /** The tasks that can be trained for. */
    enum Kind {
        CLASSIFICATION,
        REGRESSION,
        CAUSAL_LM,
        IMAGE_CLASSIFICATION;

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

    @Option(
            names = "--base",
            required = true,
            paramLabel = "DIR",
            description = "checkpoint folder, with tokenizer.json where the data is text")
    private Path base = Path.of("");

    @Option(names = "--method", required = true, description = "${COMPLETION-CANDIDATES}")
    private Method method = Method.LORA;

    @Option(names = "--rank", paramLabel = "N", description = "rank of the update (lora, condlora: 8; vera: 256)")
    private Optional<Integer> rank = Optional.empty();

    @Option(
            names = "--alpha",
            paramLabel = "X",
            description = "LoRA's and CondLoRA's: the update is scaled by alpha/rank (2 × rank)")
    private Optional<Double> alpha = Optional.empty();

    @Option(names = "--rslora", description = "scale by alpha/√rank instead")
    private boolean rankStabilised;

    @Option(names = "--dora", description = "train the norms of the weights' rows too (DoRA)")
    private boolean dora;

    @Option(
            names = "--target",
            split = ",",
            paramLabel = "NAME",
            description = "modules to adapt, by name or end of name (BERT, RoBERTa, ViT: query,value; GPT-2: c_attn;"
                    + " Llama: q_proj,v_proj)")
    private List<String> targets = new ArrayList<>();

    @Option(
            names = "--task",
            defaultValue = "classification",
            description = "${COMPLETION-CANDIDATES} (${DEFAULT-VALUE})")
    private Kind kind = Kind.CLASSIFICATION;

    @Option(
            names = "--data",
            required = true,
            paramLabel = "FILE",
            description =
                    "training data: TSV, CSV or JSONL; causal-lm: also .txt; image-classification: a folder with a"
                            + " folder per class, …images-idx3-ubyte(.gz), or .npz")
    private Path data = Path.of("");

    @Option(
            names = "--eval",
            required = true,
            paramLabel = "FILE",
            description = "dev data, evaluated after each epoch")
    private Path eval = Path.of("");

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "adapter folder to write")
    private Path out = Path.of("");

    @Option(
            names = "--text-column",
            split = ",",
            paramLabel = "COL",
            description = "name, or number from 1, or two of them for pairs (text or sentence, or sentence1,sentence2;"
                    + " causal-lm: prompt)")
    private List<String> textColumns = new ArrayList<>();

    @Option(
            names = "--label-column",
            paramLabel = "COL",
            description =
                    "name, or number from 1 (label; without names, the column of two with fewer values; causal-lm:"
                            + " response)")
    private Optional<String> labelColumn = Optional.empty();

    @Option(
            names = "--header",
            defaultValue = "auto",
            description = "whether a table's first line names its columns: ${COMPLETION-CANDIDATES} (${DEFAULT-VALUE})")
    private Header header = Header.AUTO;

    @Option(names = "--pooling", description = "${COMPLETION-CANDIDATES} (the base's pooler, mean where it has none)")
    private Optional<Pooling> pooling = Optional.empty();

    @Option(names = "--epochs", defaultValue = "3", description = "passes over the data (${DEFAULT-VALUE})")
    private int epochs;

    @Option(names = "--batch-size", defaultValue = "32", description = "examples per step (${DEFAULT-VALUE})")
    private int batchSize;

    @Option(
            names = "--lr",
            paramLabel = "X",
            description =
                    "peak learning rate of the adapter (lora: 1e-3, for causal-lm 5e-4; vera: 2e-2; condlora: 1e-3)")
    private Optional<Double> learningRate = Optional.empty();

    @Option(
            names = "--head-lr",
            paramLabel = "X",
            defaultValue = "2e-3",
            description = "that of the head (${DEFAULT-VALUE})")
    private double headLearningRate = HEAD_LEARNING_RATE;

    @Option(
            names = "--weight-decay",
            paramLabel = "X",
            defaultValue = "0.01",
            description = "AdamW's (${DEFAULT-VALUE})")
    private double weightDecay;

    @Option(
            names = "--warmup",
            paramLabel = "X",
            defaultValue = "0.06",
            description = "share of all steps (${DEFAULT-VALUE})")
    private double warmUp;

    @Option(
            names = "--clip",
            paramLabel = "X",
            defaultValue = "1",
            description = "largest gradient norm (${DEFAULT-VALUE})")
    private double clip;

    @Option(
            names = "--dropout",
            paramLabel = "X",
            defaultValue = "0",
            description = "on the adapter's input (${DEFAULT-VALUE})")
    private double dropout;

    @Option(
            names = "--max-length",
            paramLabel = "N",
            description = "tokens of an example, and of a block of packed text (128; causal-lm: 512)")
    private Optional<Integer> maxLength = Optional.empty();

    @Option(
            names = "--metric",
            description = "that chooses the best epoch: ${COMPLETION-CANDIDATES} (the task's first: accuracy, pearson,"
                    + " perplexity)")
    private Optional<Metric> metric = Optional.empty();

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "42",
            description = "decides all chance; repeatable to the bit on the CPU (${DEFAULT-VALUE})")
    private long seed;

    @Option(names = "--device", defaultValue = "auto", description = "${COMPLETION-CANDIDATES} (${DEFAULT-VALUE})")
    private Devices device = Devices.AUTO;

    @Option(
            names = "--projection-key",
            paramLabel = "N",
            defaultValue = "0",
            description = "VeRA: the seed of A and B (${DEFAULT-VALUE})")
    private long projectionKey;

    @Option(names = "--save-projection", description = "VeRA: store A and B in the adapter too")
    private boolean saveProjection;

    @Override
    public Integer call() throws IOException {
        AtomicBoolean stop = new AtomicBoolean();
        CountDownLatch finished = new CountDownLatch(1);
        Thread onInterrupt = Thread.ofPlatform().unstarted(() -> {
            stop.set(true);
            awaitQuietly(finished);
        });
        Runtime.getRuntime().addShutdownHook(onInterrupt);
        TrainProgress progress = new TrainProgress(System.err);
        try {
            TrainResult result = Trainer.train(config(), progress, stop::get);
            progress.endLine();
            report(result);
            return result.stopped() ? INTERRUPTED : 0;
        } finally {
            progress.endLine();
            finished.countDown();
            if (!stop.get()) {
                Runtime.getRuntime().removeShutdownHook(onInterrupt);
            }
        }
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private TrainConfig config() {
        return new TrainConfig(
                base,
                adapterMethod(),
                targets,
                task(),
                data,
                eval,
                out,
                pooling,
                epochs,
                batchSize,
                learningRate.orElse(defaultLearningRate(method, kind)),
                headLearningRate,
                weightDecay,
                warmUp,
                clip,
                maxLength.orElse(kind == Kind.CAUSAL_LM ? 512 : 128),
                metric,
                seed,
                device);
    }

    private Task task() {
        Dataset.Columns columns = new Dataset.Columns(
                textColumns, labelColumn, header == Header.AUTO ? Optional.empty() : Optional.of(header == Header.YES));
        return switch (kind) {
            case CLASSIFICATION -> new Classification(columns);
            case REGRESSION -> new Regression(columns);
            case CAUSAL_LM -> new CausalLm(columns);
            case IMAGE_CLASSIFICATION -> new ImageClassification();
        };
    }

    /**
     * VeRA trains scales of a frozen product, and needs steps an order of magnitude larger than LoRA's. A language model,
     * which has no new head to train, needs smaller ones.
     */
    static double defaultLearningRate(Method method, Kind kind) {
        return switch (method) {
            case LORA -> kind == Kind.CAUSAL_LM ? 5e-4 : 1e-3;
            case VERA -> 2e-2;
            case CONDLORA -> 1e-3;
        };
    }

    private AdapterMethod adapterMethod() {
        if (dropout < 0 || dropout >= 1) {
            throw new UsageException("--dropout: expected 0 or more and below 1, found " + dropout);
        }
        return switch (method) {
            case LORA -> {
                int r = positive(rank.orElse(8));
                yield new Lora(r, alpha.orElse(2.0 * r), rankStabilised, dora, dropout, Map.of(), Map.of());
            }
            case VERA -> {
                if (alpha.isPresent() || rankStabilised || dora) {
                    throw new UsageException("--alpha, --rslora and --dora are LoRA's: VeRA has nothing like them");
                }
                yield new Vera(
                        positive(rank.orElse(256)),
                        D_INITIAL,
                        projectionKey,
                        dropout,
                        saveProjection,
                        Projection.Rounding.FMA);
            }
            case CONDLORA -> {
                if (rankStabilised || dora) {
                    throw new UsageException("--rslora and --dora are LoRA's: CondLoRA has nothing like them");
                }
                int r = positive(rank.orElse(8));
                yield new CondLora(r, alpha.orElse(2.0 * r), dropout);
            }
        };
    }

    private static int positive(int rank) {
        if (rank < 1) {
            throw new UsageException("--rank: expected at least 1, found " + rank);
        }
        return rank;
    }

    private void report(TrainResult result) {
        if (result.stopped()) {
            System.out.println(
                    result.best() == 0
                            ? "Stopped before the first epoch's end; the adapter as it stood is in " + result.out()
                            : "Stopped; the best adapter so far, of epoch " + result.best() + ", is in "
                                    + result.out());
        } else {
            System.out.println("Adapter of epoch " + result.best() + " in " + result.out());
        }
        if (result.best() > 0) {
            Metric chosenBy = result.chosenBy();
            System.out.printf(
                    Locale.ROOT,
                    "%s%n",
                    result.kept().text(chosenBy, result.scores().getFirst().of(chosenBy)));
        }
        System.out.printf(
                Locale.ROOT,
                "%,d adapter + %,d head parameters  %s  %.1f examples/s  %.0f s on %s%n",
                result.adapterParameters(),
                result.headParameters(),
                new Bytes(result.adapterBytes()),
                result.examplesPerSecond(),
                result.seconds(),
                result.device());
    }
}
