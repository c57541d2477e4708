package dev.adapt.cli.fleet;

import dev.adapt.cli.terminal.Failure;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;

/** Does tasks one after the other. The base stays open between them. */
final class Worker implements AutoCloseable {
    private final OpenBase base = new OpenBase();
    private final String host = host();
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
        Set<String> answered = new HashSet<>();
        Consumer<Outcome> counted = outcome -> {
            answered.add(outcome.name());
            answers.accept(outcome);
        };
        try {
            switch (task) {
                case Task.Merge merge -> new ChunkMerge(base, merge, host, counted).run();
                case Task.Shard shard -> new ShardMerge(base, shard, host, counted).run();
                case Task.Run run -> new SingleRuns(run, host, counted).run();
            }
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            double seconds = (System.nanoTime() - start) / 1e9;
            task.items().stream()
                    .filter(item -> !answered.contains(item.name()))
                    .forEach(
                            item -> answers.accept(Outcome.failed(item, Failure.of(e), seconds, task.attempt(), host)));
        }
    }

    /** This machine's name. */
    static String host() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "unknown";
        }
    }

    @Override
    public void close() {
        base.close();
    }
}
