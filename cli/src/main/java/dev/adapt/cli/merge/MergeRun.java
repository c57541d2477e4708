package dev.adapt.cli.merge;

import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.report.MergeReport;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.MergeProgress;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.lors.Expansion;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.merge.Estimate;
import dev.adapt.merge.Merger;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.UndoSize;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** One merge into checkpoints, begun when this is made. */
final class MergeRun {
    private final MergeOptions options;
    private final Merger.Settings settings;
    private final long start = System.nanoTime();

    MergeRun(MergeOptions options, Merger.Settings settings) {
        this.options = options;
        this.settings = settings;
    }

    /** Adds the adapters to a copy of the base, or each to one of its own. */
    void adapters(List<Destination> destinations) throws IOException {
        try (Checkpoint base = Checkpoints.open(options.requireBase());
                OpenAdapters opened = OpenAdapters.open(options.adapters(), base, options.only())) {
            settings.outputs().madeFrom(opened.snapshots());
            merge(base, WeightedAdapters.bind(base, opened, options), destinations);
        }
    }

    /** Adds the residuals of a model whose layers share weights to what they share. */
    void stacks(Path model, List<Destination> destinations) throws IOException {
        try (Expansion expansion = Expansion.open(model)) {
            merge(
                    expansion.shared(),
                    new WeightedAdapters(List.of(new MergePlan.Weighted(expansion.residuals(), 1)), false),
                    destinations);
        }
    }

    /** Merges what is bound already. */
    void merge(Checkpoint base, WeightedAdapters bound, List<Destination> destinations) throws IOException {
        List<Merger> mergers = options.each()
                ? bound.adapters().stream()
                        .map(adapter -> new Merger(base, List.of(adapter), settings))
                        .toList()
                : List.of(new Merger(base, bound.adapters(), settings));
        if (options.dryRun()) {
            printPlans(base, mergers);
            return;
        }
        long bytes = mergers.stream().mapToLong(merger -> merger.plan().bytes()).sum();
        Optional<UndoSize> undone;
        try (MergeProgress _ = MergeProgress.show(settings.written(), bytes)) {
            undone = Merger.each(
                    mergers, destinations.stream().map(Destination::path).toList());
        }
        double seconds = seconds();
        for (int i = 0; i < mergers.size(); i++) {
            Merger merger = mergers.get(i);
            merger.change().ifPresent(MergeLines::print);
            MergeLines.noteHead(merger);
            warnOfLoss(merger, bound);
            MergeLines.print(destinations.get(i).named(), merger.plan(), bytes, seconds);
        }
        undone.ifPresent(size -> MergeLines.print(options.undo().orElseThrow(), size));
        report();
    }

    private void printPlans(Checkpoint base, List<Merger> mergers) throws IOException {
        List<MergePlan> plans = mergers.stream().map(Merger::plan).toList();
        plans.forEach(MergeLines::print);
        MergeLines.print(
                options.base().orElse(options.adapters().getFirst()),
                options.threads(),
                Estimate.of(base.files().getFirst(), plans, options.threads()));
    }

    /** Changes the base's own files. */
    void inPlace() throws IOException {
        Path folder = options.requireBase();
        // locked before anything of it is read: what is checked is what is changed
        try (PatchJournal journal = PatchJournal.begin(folder);
                Checkpoint base = Checkpoints.open(journal);
                OpenAdapters opened = OpenAdapters.open(options.adapters(), base, options.only())) {
            settings.outputs().madeFrom(opened.snapshots());
            WeightedAdapters bound = WeightedAdapters.bind(base, opened, options);
            Merger merger = new Merger(base, bound.adapters(), settings);
            long bytes = merger.bytesInPlace();
            try (MergeProgress _ = MergeProgress.show(settings.written(), bytes)) {
                merger.mergeInPlace(journal);
            }
            warnOfLoss(merger, bound);
            Terminal.line(
                    "%s: changed in place, %d tensors adapted, %d replaced, %s in %.2f s",
                    folder, merger.plan().adapted(), merger.plan().replaced(), new Bytes(bytes), seconds());
            noteUnchanged(merger);
            report();
        }
    }

    /** Says which companion files a merge in place leaves as they are. */
    private static void noteUnchanged(Merger merger) {
        merger.change()
                .flatMap(BaseChange::sentences)
                .ifPresent(folder -> Terminal.note(
                        "modules.json and what belongs to it are not changed in place; copy them" + " from " + folder));
        merger.change()
                .flatMap(BaseChange::prompt)
                .ifPresent(
                        prompt -> Terminal.note("config.json stays as it is and does not record how prompts were laid"
                                + " out in training; generate takes --prompt-format " + prompt.key()));
    }

    /** Most changes lost: the user should know without asking. */
    static void warnOfLoss(Merger merger, WeightedAdapters bound) {
        if (!bound.untrained()) {
            MergeNotes.loss(merger.lost())
                    .ifPresent(note -> Terminal.note(note + "; --report tells which (a base in f32 keeps them)"));
        }
    }

    private double seconds() {
        return (System.nanoTime() - start) / 1e9;
    }

    /** Writes the report that was asked for. */
    void report() throws IOException {
        if (options.report().isPresent()) {
            Path file = options.report().get();
            MergeReport written =
                    new MergeReport(settings.statistics().orElseThrow().tensors());
            written.write(file, settings.outputs());
            Terminal.lines(Printable.message(file.toString()) + ": " + written.summary() + "\n");
        }
    }
}
