package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.fleet.task.Attempt;
import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Recorded;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.ContentDigest;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Files;
import java.util.function.Consumer;

/** Writes one file of a merge, whose other files other workers write. */
final class ShardMerge {
    private final OpenBase opened;
    private final Task.Shard task;
    private final Attempt attempt;
    private final Consumer<Outcome> answers;

    ShardMerge(OpenBase opened, Task.Shard task, Attempt attempt, Consumer<Outcome> answers) {
        this.opened = opened;
        this.task = task;
        this.attempt = attempt;
        this.answers = answers;
    }

    /** @throws IOException if the file cannot be read or written */
    void run() throws IOException {
        for (Item item : task.items()) {
            long start = System.nanoTime();
            Checkpoint base = opened.open(task.base());
            try (Source source = Source.open(opened, base, item, task.force())) {
                Merger merger =
                        source.merger(base, Merger.Settings.of(task.threads()).flush(task.flush()));
                Files.deleteIfExists(item.out()); // a worker that was killed may have begun it
                merger.writeFile(task.file(), item.out());
                String digest = ContentDigest.ofFile(item.out(), opened.copied(merger.plan()));
                ContentDigest file = new ContentDigest(Files.size(item.out()), digest);
                Item.Made made = new Item.Made(Recorded.adapter(item.adapter()), file);
                answers.accept(attempt.made(item, made, Attempt.seconds(start), source.notes(merger)));
            }
        }
    }
}
