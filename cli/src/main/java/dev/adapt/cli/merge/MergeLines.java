package dev.adapt.cli.merge;

import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.HeadNote;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.merge.Estimate;
import dev.adapt.merge.Merger;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.UndoSize;
import java.nio.file.Path;

/** What {@code merge} prints of its plan and its result. */
final class MergeLines {
    private MergeLines() {}

    static void print(Path out, MergePlan plan, long bytes, double seconds) {
        Terminal.line(
                "%s: %d tensors adapted, %d replaced, %d copied, %s in %.2f s (%s/s)",
                out, plan.adapted(), plan.replaced(), plan.copied(), new Bytes(plan.bytes()), seconds, new Bytes((long)
                        (bytes / seconds)));
    }

    static void print(Path undo, UndoSize size) {
        Terminal.line(
                "%s: %s, %.1f%% of the %s of the touched tensors",
                undo,
                new Bytes(size.file()),
                100.0 * size.file() / Math.max(1, size.tensors()),
                new Bytes(size.tensors()));
    }

    static void print(BaseChange change) {
        change.vocabulary().ifPresent(words -> {
            Terminal.line("config.json: vocab_size is now " + words
                    + (change.tokenizer().isPresent() ? ", and the tokenizer is the adapter's" : ""));
            if (change.tokenizer().isEmpty()) {
                Terminal.note("the adapter's folder holds no tokenizer; the base's is copied, which does not know a"
                        + " vocabulary of " + words);
            }
        });
        if (change.unties()) {
            Terminal.line("output head untied from the input embeddings: both are written, and config.json says"
                    + " tie_word_embeddings false");
        }
    }

    /** A head that is none of transformers' is called that. */
    static void noteHead(Merger merger) {
        merger.config()
                .filter(config -> merger.change().flatMap(BaseChange::head).isPresent())
                .flatMap(config -> new ModelConfig(config).ownPooling())
                .ifPresent(pooling -> Terminal.note(HeadNote.of(pooling)));
    }

    static void print(Path read, int threads, Estimate estimate) {
        Terminal.line(
                "expected: about %.1f s on %d threads (measured: %s reads at %s/s; assumed: it writes as fast, and each thread"
                        + " does %.0f G multiply-adds a second)",
                estimate.seconds(),
                threads,
                read,
                new Bytes((long) estimate.readBytes()),
                Estimate.MULTIPLY_ADDS / 1e9);
    }

    static void print(MergePlan plan) {
        for (MergePlan.Output output : plan.outputs()) {
            Terminal.line(output.name() + ", " + new Bytes(output.header().fileBytes()));
            for (MergePlan.Task task : output.tasks()) {
                Terminal.line("  "
                        + switch (task) {
                            case MergePlan.Task.Copy copy ->
                                "copy    " + copy.tensors() + " tensors, " + new Bytes(copy.bytes());
                            case MergePlan.Task.Adapt adapt ->
                                "adapt   " + adapt.place().name() + " "
                                        + adapt.place().shape() + " "
                                        + adapt.place().dtype() + ", "
                                        + new Bytes(adapt.place().bytes());
                            case MergePlan.Task.Replace replace ->
                                "replace " + replace.place().name() + " "
                                        + replace.place().shape() + " "
                                        + replace.place().dtype();
                        });
            }
        }
    }
}
