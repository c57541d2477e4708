package dev.adapt.cli;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.BaseChange;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.adapter.Projection;
import dev.adapt.formats.adapter.Vera;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Binding;
import dev.adapt.merge.MergePlan;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt merge}: a base with an adapter's update in its weights. */
@Command(
        name = "merge",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Adds an adapter's update to its base's weights, computed in float32 and rounded once to the base's dtype.",
            "The result is a plain checkpoint; all tensors the adapter does not touch are copied byte for byte."
        },
        footer = {"", "Example: adapt merge my-lora --into base --out merged"})
final class MergeCommand implements Callable<Integer> {
    @Parameters(paramLabel = "ADAPTER", description = "adapter folder, ours or PEFT's")
    private Path adapterFolder = Path.of("");

    @Option(
            names = "--into",
            required = true,
            paramLabel = "BASE",
            description = "checkpoint folder or .safetensors file")
    private Path into = Path.of("");

    @Option(
            names = "--out",
            required = true,
            paramLabel = "DIR|FILE",
            description = "folder to write, or a .safetensors file where BASE is one")
    private Path out = Path.of("");

    @Option(names = "--force", description = "merge even if the adapter was trained on another base")
    private boolean force;

    @Option(names = "--dry-run", description = "print what would be done, and write nothing")
    private boolean dryRun;

    @Option(
            names = "--no-fsync",
            description = "do not wait until the disk has the result, which a power cut may then lose")
    private boolean noFsync;

    @Option(names = "--threads", paramLabel = "N", description = "tiles computed at a time (all cores)")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(
            names = "--projection-rounding",
            description =
                    "how VeRA's projection was rounded where the adapter was trained: ${COMPLETION-CANDIDATES} (as the adapter says, else fma)")
    private Optional<Projection.Rounding> rounding = Optional.empty();

    @Override
    public Integer call() throws IOException {
        if (threads < 1) {
            throw new UsageException("--threads: expected at least 1, found " + threads);
        }
        long start = System.nanoTime();
        Adapter adapter = rounded(Adapters.read(adapterFolder));
        if (!force && !adapter.recordsBase()) {
            System.err.println("adapt: note: " + adapterFolder + " does not record the base it was trained on; " + into
                    + " is taken on trust");
        }
        try (Checkpoint base = Checkpoint.open(into)) {
            BoundAdapter bound = new Binding(base).bind(adapter, force);
            Merger merger = new Merger(base, bound, settings());
            if (dryRun) {
                print(merger.plan());
                return 0;
            }
            merger.merge(out);
            double seconds = (System.nanoTime() - start) / 1e9;
            MergePlan plan = merger.plan();
            print(bound.change());
            System.out.printf(
                    Locale.ROOT,
                    "%s: %d tensors adapted, %d from the adapter, %d copied, %s in %.2f s (%s/s)%n",
                    out,
                    plan.adapted(),
                    plan.replaced(),
                    plan.copied(),
                    new Bytes(plan.bytes()),
                    seconds,
                    new Bytes((long) (plan.bytes() / seconds)));
        }
        return 0;
    }

    private Merger.Settings settings() {
        Merger.Settings settings = Merger.Settings.of(threads);
        return noFsync ? settings.withoutFlush() : settings;
    }

    private static void print(BaseChange change) {
        change.vocabulary().ifPresent(words -> System.out.println("config.json: vocab_size is now " + words));
        if (change.unties()) {
            System.out.println("the head is no longer the table of words: both are written, and config.json says"
                    + " tie_word_embeddings false");
        }
    }

    private Adapter rounded(Adapter adapter) {
        if (rounding.isEmpty()) {
            return adapter;
        }
        if (adapter.method() instanceof Vera vera) {
            return adapter.with(vera.rounded(rounding.get()));
        }
        throw new UsageException("--projection-rounding is VeRA's: this adapter is "
                + adapter.method().peftType());
    }

    private static void print(MergePlan plan) {
        for (MergePlan.Output output : plan.outputs()) {
            System.out.println(output.source().path().getFileName() + ", "
                    + new Bytes(output.header().fileBytes()));
            for (MergePlan.Task task : output.tasks()) {
                System.out.println("  "
                        + switch (task) {
                            case MergePlan.Task.Copy copy ->
                                "copy    " + copy.tensors() + " tensors, " + new Bytes(copy.bytes());
                            case MergePlan.Task.Adapt adapt ->
                                "adapt   " + adapt.place().name() + " "
                                        + adapt.place().shape() + " "
                                        + adapt.place().dtype();
                            case MergePlan.Task.Replace replace ->
                                "replace " + replace.place().name() + " "
                                        + replace.place().shape() + " "
                                        + replace.place().dtype();
                        });
            }
        }
    }
}
