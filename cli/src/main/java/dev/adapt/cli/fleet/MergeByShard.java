package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Attempt;
import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Recorded;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.fleet.task.Verdict;
import dev.adapt.cli.fleet.worker.OpenBase;
import dev.adapt.cli.fleet.worker.Source;
import dev.adapt.cli.fleet.worker.WorkerPool;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.ContentDigest;
import dev.adapt.formats.io.Outputs;
import dev.adapt.merge.Merger;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Merges adapters one after the other, each with the files of the base spread over workers. The index and the small files
 * are written last, by this process.
 *
 * @param threads of each worker
 * @param force whether to accept another base than the adapters were trained on
 * @param flush whether to wait until the disk has the results
 * @param overwrite whether to replace outputs that exist
 */
record MergeByShard(Path path, int workers, int threads, boolean force, boolean flush, boolean overwrite)
        implements FleetRun.Work {
    @Override
    public void run(List<Item> items, Path logs, Consumer<Outcome> answers) throws IOException {
        Attempt first = Attempt.first();
        try (OpenBase opened = new OpenBase()) {
            for (Item item : items) {
                long start = System.nanoTime();
                Outcome outcome;
                try {
                    outcome =
                            Recorded.isStill(item) ? first.kept(item, start) : merge(opened, item, logs, start, first);
                } catch (IOException | RuntimeException e) {
                    outcome = first.failed(item, Failure.of(e), Attempt.seconds(start));
                }
                answers.accept(outcome);
            }
        }
    }

    private Outcome merge(OpenBase opened, Item item, Path logs, long start, Attempt first) throws IOException {
        Checkpoint base = opened.open(path);
        Outputs outputs = Outputs.apartFrom(List.of(path, item.adapter()), overwrite);
        try (Source source = Source.open(opened, base, item, force)) {
            outputs.madeFrom(List.of(source.opened().tensors().snapshot()));
            Merger merger =
                    source.merger(base, Merger.Settings.of(threads).flush(flush).outputs(outputs));
            Map<String, Outcome> files = new HashMap<>();
            merger.mergeByFile(item.out(), folder -> {
                new WorkerPool(logs, outcome -> files.put(outcome.name(), outcome))
                        .run(tasks(item, merger.plan(), folder), workers);
                requireWhole(item, merger.plan(), files);
            });
            Map<String, String> digests = new HashMap<>();
            Set<String> notes = new LinkedHashSet<>(source.notes(merger));
            files.forEach((name, file) -> {
                digests.put(name, file.made().orElseThrow().output().sha256());
                notes.addAll(file.notes());
            });
            int attempt =
                    files.values().stream().mapToInt(Outcome::attempt).max().orElse(1);
            Item.Made made = new Item.Made(Recorded.adapter(item.adapter()), ContentDigest.of(item.out(), digests));
            return first.numbered(attempt).made(item, made, Attempt.seconds(start), List.copyOf(notes));
        }
    }

    private List<Task> tasks(Item item, MergePlan plan, Path folder) {
        List<Task> tasks = new ArrayList<>();
        for (int file = 0; file < plan.outputs().size(); file++) {
            String name = plan.outputs().get(file).name();
            Item part = new Item(name, item.adapter(), folder.resolve(name), Optional.empty());
            tasks.add(new Task.Shard(path, List.of(part), file, threads, force, flush, 1));
        }
        return tasks;
    }

    private static void requireWhole(Item item, MergePlan plan, Map<String, Outcome> files) {
        for (MergePlan.Output output : plan.outputs()) {
            Outcome file = files.get(output.name());
            if (file == null) {
                throw new FormatException(item.adapter(), "was not merged: the fleet was ended");
            }
            if (file.verdict() != Verdict.OK) {
                throw new FormatException(
                        item.adapter(), "cannot be merged into " + output.name() + ": " + file.error());
            }
        }
    }
}
