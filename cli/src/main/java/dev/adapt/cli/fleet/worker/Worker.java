package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.fleet.task.Attempt;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.fleet.task.TaskJson;
import dev.adapt.cli.terminal.Failure;
import java.io.BufferedReader;
import java.io.IOException;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;

/** Does tasks one after the other. The base stays open between them. */
final class Worker implements AutoCloseable {
    private final OpenBase base = new OpenBase();
    private final Attempt first = Attempt.first();
    private final Consumer<Outcome> answers;

    Worker(Consumer<Outcome> answers) {
        this.answers = answers;
    }

    /**
     * Does the tasks of a stream, a line each, until it ends.
     *
     * @throws dev.adapt.formats.FormatException if a line is no task
     */
    void run(BufferedReader tasks) throws IOException {
        for (String line = tasks.readLine(); line != null; line = tasks.readLine()) {
            if (!line.isBlank()) {
                run(TaskJson.parse(line));
            }
        }
    }

    /** Answers for each adapter of the task, whatever happens. */
    void run(Task task) {
        long start = System.nanoTime();
        Attempt attempt = first.numbered(task.attempt());
        Set<String> answered = new HashSet<>();
        Consumer<Outcome> counted = outcome -> {
            answered.add(outcome.name());
            answers.accept(outcome);
        };
        try {
            switch (task) {
                case Task.Merge merge -> new ChunkMerge(base, merge, attempt, counted).run();
                case Task.Shard shard -> new ShardMerge(base, shard, attempt, counted).run();
                case Task.Run run -> new SingleRuns(run, attempt, counted).run();
            }
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            double seconds = Attempt.seconds(start);
            task.items().stream()
                    .filter(item -> !answered.contains(item.name()))
                    .forEach(item -> answers.accept(attempt.failed(item, Failure.of(e), seconds)));
        }
    }

    @Override
    public void close() {
        base.close();
    }
}
