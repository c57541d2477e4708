package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.fleet.task.Attempt;
import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Recorded;
import dev.adapt.cli.fleet.task.Single;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.ContentDigest;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import picocli.CommandLine;

/** Runs a command for each adapter of a task, in this process: libraries stay loaded from one to the next. */
public final class SingleRuns {
    private final Task.Run task;
    private final Attempt attempt;
    private final Consumer<Outcome> answers;

    SingleRuns(Task.Run task, Attempt attempt, Consumer<Outcome> answers) {
        this.task = task;
        this.attempt = attempt;
        this.answers = answers;
    }

    void run() {
        for (Item item : task.items()) {
            long start = System.nanoTime();
            Outcome outcome;
            try {
                outcome = run(item, start);
            } catch (Exception | OutOfMemoryError | InternalError e) {
                outcome = attempt.failed(item, Failure.of(e), Attempt.seconds(start));
            }
            answers.accept(outcome);
        }
    }

    private Outcome run(Item item, long start) throws Exception {
        if (Recorded.isStill(item)) {
            return attempt.kept(item, start);
        }
        String adapter = Recorded.adapter(item.adapter());
        Terminal.Captured<Integer> printed =
                Terminal.capture(parsed(task.single(), task.base(), item, task.options(), task.overwrite()));
        if (!task.single().writes()) {
            Outputs outputs = Outputs.apartFrom(List.of(task.base(), item.adapter()), task.overwrite());
            try (OutputFile file = outputs.file(item.out())) {
                file.text(printed.text());
                file.commit();
            }
        }
        ContentDigest output = ContentDigest.of(item.out(), tensor -> Optional.empty());
        Item.Made made = new Item.Made(adapter, output);
        return printed.result() == 0
                ? attempt.made(item, made, Attempt.seconds(start), List.of())
                : attempt.different(item, made, Attempt.seconds(start));
    }

    /**
     * The command for one adapter, with its arguments.
     *
     * @throws UsageException if an option is unknown, cannot be, or is the fleet's to give
     */
    public static Callable<Integer> parsed(
            Single single, Path base, Item item, List<String> options, boolean overwrite) {
        Callable<Integer> command = single.command();
        try {
            new CommandLine(command)
                    .setCaseInsensitiveEnumValuesAllowed(true)
                    .setExpandAtFiles(false)
                    .parseArgs(single.arguments(base, item, options, overwrite).toArray(String[]::new));
        } catch (CommandLine.ParameterException e) {
            throw new UsageException("`adapt " + single.key() + "` cannot take these options: " + e.getMessage());
        }
        return command;
    }
}
