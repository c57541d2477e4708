package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.fleet.task.Attempt;
import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Recorded;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.ContentDigest;
import dev.adapt.formats.io.Outputs;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * Merges the adapters of a task from one reading of the base. An adapter that fails does not stop the others: where a
 * merge of several fails, each half of them is merged alone.
 */
final class ChunkMerge {
    private final OpenBase opened;
    private final Task.Merge task;
    private final Attempt attempt;
    private final Consumer<Outcome> answers;

    ChunkMerge(OpenBase opened, Task.Merge task, Attempt attempt, Consumer<Outcome> answers) {
        this.opened = opened;
        this.task = task;
        this.attempt = attempt;
        this.answers = answers;
    }

    /** @throws IOException if the base cannot be read */
    void run() throws IOException {
        Checkpoint base = opened.open(task.base());
        List<Source> sources = new ArrayList<>();
        try {
            for (Item item : task.items()) {
                long start = System.nanoTime();
                try {
                    open(base, item).ifPresent(sources::add);
                } catch (IOException | RuntimeException e) {
                    fail(item, e, start);
                }
            }
            if (!sources.isEmpty()) {
                merge(base, sources);
            }
        } finally {
            sources.forEach(Source::close);
        }
    }

    /** Opens an adapter; empty where its output is kept, which is answered. */
    private Optional<Source> open(Checkpoint base, Item item) throws IOException {
        long start = System.nanoTime();
        if (Recorded.isStill(item)) {
            answers.accept(attempt.kept(item, start));
            return Optional.empty();
        }
        return Optional.of(Source.open(opened, base, item, task.force()));
    }

    private void merge(Checkpoint base, List<Source> sources) throws IOException {
        long start = System.nanoTime();
        Outputs outputs = Outputs.apartFrom(
                Stream.concat(
                                Stream.of(base.path()),
                                sources.stream().map(source -> source.item().adapter()))
                        .toList(),
                task.overwrite());
        List<Merger> mergers = new ArrayList<>();
        try {
            outputs.madeFrom(sources.stream()
                    .map(source -> source.opened().tensors().snapshot())
                    .toList());
            Merger.Settings settings =
                    Merger.Settings.of(task.threads()).flush(task.flush()).outputs(outputs);
            for (Source source : sources) {
                mergers.add(source.merger(base, settings));
            }
            Merger.each(
                    mergers, sources.stream().map(source -> source.item().out()).toList());
        } catch (IOException | RuntimeException | InternalError | OutOfMemoryError e) {
            divide(base, sources, mergers, outputs, e, start);
            return;
        }
        for (int i = 0; i < sources.size(); i++) {
            answer(sources.get(i), mergers.get(i), start, sources.size());
        }
    }

    /** What is whole is answered; of the others, each half is merged alone. */
    private void divide(
            Checkpoint base, List<Source> sources, List<Merger> mergers, Outputs outputs, Throwable cause, long start)
            throws IOException {
        List<Source> others = new ArrayList<>();
        for (int i = 0; i < sources.size(); i++) {
            if (outputs.isCommitted(sources.get(i).item().out())) {
                answer(sources.get(i), mergers.get(i), start, sources.size());
            } else {
                others.add(sources.get(i));
            }
        }
        if (sources.size() == 1 || !opened.isUnchanged()) {
            others.forEach(source -> fail(source.item(), cause, start));
            return;
        }
        int half = (others.size() + 1) / 2;
        for (List<Source> part : List.of(others.subList(0, half), others.subList(half, others.size()))) {
            if (!part.isEmpty()) {
                merge(base, part);
            }
        }
    }

    private void answer(Source source, Merger merger, long start, int shares) {
        double shared = Attempt.seconds(start) / shares;
        long own = System.nanoTime();
        try {
            ContentDigest output = ContentDigest.of(source.item().out(), opened.copied(merger.plan()));
            Item.Made made = new Item.Made(Recorded.adapter(source.item().adapter()), output);
            double seconds = shared + Attempt.seconds(own);
            answers.accept(attempt.made(source.item(), made, seconds, source.notes(merger)));
        } catch (IOException | RuntimeException e) {
            fail(source.item(), e, own);
        }
    }

    private void fail(Item item, Throwable cause, long start) {
        answers.accept(attempt.failed(item, Failure.of(cause), Attempt.seconds(start)));
    }
}
